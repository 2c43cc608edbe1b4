//! Implements the port of policy migration over Cassandra: status, move, repair, and finding
//! large products.

use std::sync::Arc;

use async_trait::async_trait;
use pricedrop_model::migration::{IndexStatus, OnProgress, PolicyMigration, Progress, Repaired};
use pricedrop_model::plugin::Bucketing;
use pricedrop_model::ports::{Error, WatchWriter as _};
use pricedrop_model::{ProductId, Watch};

use super::policies::CassandraPolicies;
use super::watches::CassandraWatches;

/// Watches per page while products are counted.
const PAGE: usize = 10_000;

#[async_trait]
impl PolicyMigration for CassandraPolicies {
    async fn status(&self) -> Result<Option<IndexStatus>, Error> {
        let status = CassandraPolicies::status(self).await?;
        Ok(Some(IndexStatus {
            products: status.verified,
            unverified: status.unverified,
            leftover: status.leftover,
            building: status.building.map(|policy| policy.name),
            shards: status.shards,
            shards_wanted: status.shards_wanted,
        }))
    }

    async fn migrate(&self, policy: Arc<dyn Bucketing>, progress: OnProgress<'_>) -> Result<(), Error> {
        CassandraPolicies::migrate(self, policy, progress).await
    }

    async fn shards_differ(&self) -> Result<bool, Error> {
        CassandraPolicies::shards_differ(self).await
    }

    async fn repair(
        &self,
        product: Option<ProductId>,
        progress: OnProgress<'_>,
    ) -> Result<Option<Repaired>, Error> {
        let products = match product {
            Some(product) => vec![product],
            None => large(&self.watches(), self.bucket_threshold(), progress).await?,
        };
        let mut watches = 0;
        for (done, product) in products.iter().enumerate() {
            progress(Progress::Repairing { products: done, of: products.len(), watches });
            watches += CassandraPolicies::repair(self, product).await?;
        }
        Ok(Some(Repaired { repaired: products.len(), watches }))
    }
}

/// Returns every product with more watches than `threshold`.
async fn large(
    watches: &CassandraWatches,
    threshold: u64,
    progress: OnProgress<'_>,
) -> Result<Vec<ProductId>, Error> {
    let (mut large, mut counted): (Vec<ProductId>, u64) = (Vec::new(), 0);
    let (mut last, mut rows): (Option<Watch>, u64) = (None, 0);
    loop {
        let page = watches.list(None, last.as_ref(), PAGE).await?;
        let Some(end) = page.last().cloned() else { return Ok(large) };
        for watch in page {
            let same = last.as_ref().is_some_and(|last| last.product_id == watch.product_id);
            rows = if same { rows + 1 } else { 1 };
            counted += 1;
            if rows == threshold + 1 {
                large.push(watch.product_id.clone());
            }
            last = Some(watch);
        }
        last = Some(end);
        progress(Progress::Counting { watches: counted, large: large.len() });
    }
}
