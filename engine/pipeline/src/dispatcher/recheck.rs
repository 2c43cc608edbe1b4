//! The re-check before a delayed send: has the price risen above the watch meanwhile?

use std::collections::HashMap;

use futures::stream::{self, StreamExt};
use pricedrop_model::{Currency, Evaluated, ProductId, WallTime};

use super::job::{Job, Origin};
use super::shared::Shared;

/// Most concurrent reads of current prices.
const ASKED_AT_ONCE: usize = 16;

/// Splits jobs into those to send and those whose price has risen above the watch. Only jobs from
/// the retry queue are checked. If the store of prices fails, the job is sent.
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

/// A current price counts only if it was evaluated at or after the time when the delivery was
/// first read. An older row may have the price from before the drop.
fn has_risen(job: &Job, row: Option<Evaluated>) -> bool {
    let (Some(row), Some(watch_price)) = (row, job.notification.watch_price) else { return false };
    let newer = |at: WallTime| at >= job.since;
    newer(row.at) && row.price > watch_price
}
