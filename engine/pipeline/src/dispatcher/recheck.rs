//! The re-check before a delayed send: a delivery is obsolete if the price rose above its watch
//! meanwhile.

use std::collections::HashMap;

use futures::stream::{self, StreamExt};
use pricedrop_model::{Currency, Evaluated, ProductId, WallTime};

use super::job::{Job, Origin};
use super::shared::Shared;

/// Maximum number of concurrent reads of current prices.
const CONCURRENT_READS: usize = 16;

/// Splits jobs into those to send and the obsolete ones, whose price rose above the watch. Only jobs
/// from the retry queue are checked. If the store of prices fails, the job is sent.
pub(super) async fn split_obsolete(shared: &Shared, jobs: Vec<Job>) -> (Vec<Job>, Vec<Job>) {
    let mut products: Vec<_> = jobs.iter().filter_map(|job| price_key(shared, job)).collect();
    products.sort();
    products.dedup();
    let prices: HashMap<_, _> = stream::iter(products)
        .map(|(product, currency)| async move {
            let row = shared.stores.prices.of(&product, currency).await.ok().flatten();
            ((product, currency), row.map(|(evaluated, _)| evaluated))
        })
        .buffer_unordered(CONCURRENT_READS)
        .collect()
        .await;
    jobs.into_iter().partition(|job| {
        let row = price_key(shared, job).and_then(|key| prices.get(&key).copied().flatten());
        !is_obsolete(job, row)
    })
}

/// The product and currency whose price is read for this job; `None` if the job is not checked.
fn price_key(shared: &Shared, job: &Job) -> Option<(ProductId, Currency)> {
    let delayed = shared.options.recheck && matches!(job.origin, Origin::Queue(..));
    let currency = job.notification.currency.unwrap_or(shared.options.currency);
    (delayed && job.notification.watch_price.is_some())
        .then(|| (job.notification.product_id.clone(), currency))
}

/// A current price counts only if it was evaluated at or after the time when the delivery was
/// first read. An older row may have the price from before the drop.
fn is_obsolete(job: &Job, row: Option<Evaluated>) -> bool {
    let (Some(row), Some(watch_price)) = (row, job.notification.watch_price) else { return false };
    let is_recent = |at: WallTime| at >= job.since;
    is_recent(row.at) && row.price > watch_price
}
