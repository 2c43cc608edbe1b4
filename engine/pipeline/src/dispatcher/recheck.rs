//! Before a delayed send: does the price still hold?

use std::collections::HashMap;

use futures::stream::{self, StreamExt};
use pricedrop_model::{Currency, Evaluated, ProductId, WallTime};

use super::job::{Job, Origin};
use super::shared::Shared;

/// Most prices asked for at a time.
const ASKED_AT_ONCE: usize = 16;

/// Splits off the jobs whose price has risen above what their user waits for.
/// Only what has been waiting in the retry queue is looked at, and a store that
/// does not answer drops nothing.
pub(super) async fn risen(shared: &Shared, jobs: Vec<Job>) -> (Vec<Job>, Vec<Job>) {
    let mut asked: Vec<_> = jobs.iter().filter_map(|job| subject(shared, job)).collect();
    asked.sort();
    asked.dedup();
    let prices: HashMap<_, _> = stream::iter(asked)
        .map(|(product, currency)| async move {
            let row = shared.stores.prices.of(&product, currency).await.ok().flatten();
            ((product, currency), row.map(|(evaluated, _)| evaluated))
        })
        .buffer_unordered(ASKED_AT_ONCE)
        .collect()
        .await;
    jobs.into_iter().partition(|job| {
        let row = subject(shared, job).and_then(|subject| prices.get(&subject).copied().flatten());
        !has_risen(job, row)
    })
}

fn subject(shared: &Shared, job: &Job) -> Option<(ProductId, Currency)> {
    let delayed = shared.options.recheck && matches!(job.origin, Origin::Queue(..));
    let currency = job.notification.currency.unwrap_or(shared.options.currency);
    (delayed && job.notification.watch_price.is_some())
        .then(|| (job.notification.product_id.clone(), currency))
}

/// A row counts when it was evaluated after the delivery was first taken up,
/// and so after its notification: an older one may say the price before it.
fn has_risen(job: &Job, row: Option<Evaluated>) -> bool {
    let (Some(row), Some(watch_price)) = (row, job.notification.watch_price) else { return false };
    let newer = |at: WallTime| at >= job.since;
    newer(row.at) && row.price > watch_price
}
