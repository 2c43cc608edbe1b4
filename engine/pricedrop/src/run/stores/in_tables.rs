//! Policies in Cassandra, as the plugin host and the API ask for them.

use std::sync::Arc;

use async_trait::async_trait;
use pricedrop_cassandra::{Cassandra, CassandraPolicies, CassandraWatches};
use pricedrop_model::plugin::{Bucketing, PolicyIdentity};
use pricedrop_model::seams::{Error, PolicyRegistry, WatchWriter as _};
use pricedrop_model::{ProductId, Watch};
use serde_json::{Value, json};

use super::{Policies, Told, step};

/// Watches of a page while products are counted.
const PAGE: usize = 10_000;

/// The policies of these tables; products with more watches than
/// `bucket_threshold` are read by bucket.
pub fn policies(tables: &Cassandra, bucket_threshold: u64) -> Arc<dyn Policies> {
    Arc::new(InTables { policies: tables.policies(), watches: tables.watches(), bucket_threshold })
}

struct InTables {
    policies: CassandraPolicies,
    watches: CassandraWatches,
    bucket_threshold: u64,
}

#[async_trait]
impl PolicyRegistry for InTables {
    async fn active(&self) -> Result<Option<PolicyIdentity>, Error> {
        self.policies.active().await
    }

    async fn activate(&self, policy: &PolicyIdentity) -> Result<(), Error> {
        self.policies.activate(policy).await
    }
}

#[async_trait]
impl Policies for InTables {
    async fn status(&self) -> Result<Value, Error> {
        let status = self.policies.status().await?;
        Ok(json!({
            "products": status.verified,
            "unverified": status.unverified,
            "leftover": status.leftover,
            "building": status.building.map(|policy| policy.name),
            "shards": status.shards,
            "shardsWanted": status.shards_wanted,
        }))
    }

    async fn migrate(&self, policy: Arc<dyn Bucketing>, told: Told<'_>) -> Result<(), Error> {
        self.policies.migrate(policy, |progress| told(step(progress))).await
    }

    async fn shards_differ(&self) -> Result<bool, Error> {
        self.policies.shards_differ().await
    }

    fn repairs(&self) -> bool {
        true
    }

    async fn repair(&self, product: Option<ProductId>, told: Told<'_>) -> Result<Value, Error> {
        let products = match product {
            Some(product) => vec![product],
            None => self.large(told).await?,
        };
        let mut watches = 0;
        for (done, product) in products.iter().enumerate() {
            told(format!("repairing: {done} of {} products, {watches} watches", products.len()));
            watches += self.policies.repair(product).await?;
        }
        Ok(json!({ "repaired": products.len(), "watches": watches }))
    }
}

impl InTables {
    /// Every product with so many watches that it is read by bucket.
    async fn large(&self, told: Told<'_>) -> Result<Vec<ProductId>, Error> {
        let (mut large, mut counted): (Vec<ProductId>, _) = (Vec::new(), 0);
        let (mut last, mut rows): (Option<Watch>, u64) = (None, 0);
        loop {
            let page = self.watches.list(None, last.as_ref(), PAGE).await?;
            let Some(end) = page.last().cloned() else { break };
            for watch in page {
                let same = last.as_ref().is_some_and(|last| last.product_id == watch.product_id);
                rows = if same { rows + 1 } else { 1 };
                counted += 1;
                if rows == self.bucket_threshold + 1 {
                    large.push(watch.product_id.clone());
                }
                last = Some(watch);
            }
            last = Some(end);
            told(format!("counting: {counted} watches, {} large products", large.len()));
        }
        Ok(large)
    }
}
