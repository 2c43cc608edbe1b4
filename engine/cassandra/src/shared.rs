//! State that all adapters of one session with Cassandra share.

use std::sync::{Arc, Mutex};

use pricedrop_model::ProductId;
use pricedrop_model::cache::{CacheKey, Cached, WatchCache};
use pricedrop_model::plugin::{Bucketing, Plugins};
use pricedrop_model::ports;
use pricedrop_model::sync::lock;
use tokio::sync::Semaphore;

use super::index_build::Policies;
use super::large_products::LargeProducts;
use super::options::Options;
use super::price_queue::PriceQueue;
use super::repair_queue::Repairs;
use super::requests::Requests;
use super::statements::{Index, Statements};
use super::write_timestamps::WriteTimestamps;

/// State that all adapters share.
pub(crate) struct Shared {
    pub(super) requests: Requests,
    pub(super) statements: Statements,
    pub(super) options: Options,
    pub(super) write_timestamps: WriteTimestamps,
    pub(super) cache: Arc<dyn WatchCache>,
    pub(super) plugins: Mutex<Arc<dyn Plugins>>,
    /// The policy of a migration that is in progress in this process.
    pub(super) migrating: Mutex<Option<Arc<dyn Bucketing>>>,
    pub(super) known_policies: Mutex<Option<Policies>>,
    pub(super) large_products: LargeProducts,
    /// Permits for batches. A batch that was too slow takes all of them when it is repeated.
    pub(super) batches: Semaphore,
    pub(super) repairs: Repairs,
    pub(super) prices: Arc<PriceQueue>,
}

impl Shared {
    pub(super) fn index(&self) -> Result<&Index, ports::Error> {
        let missing = || {
            ports::Error::Fatal(
                "the tables of the index by bucket are missing; run `pricedrop schema apply`".into(),
            )
        };
        self.statements.index.as_ref().ok_or_else(missing)
    }

    /// Asks the cache. With `external_writers` nothing is cached, because their rows must be
    /// visible at once.
    pub(super) async fn ask_cache(&self, cache_keys: &[CacheKey]) -> Vec<Cached> {
        match self.options.external_writers || cache_keys.is_empty() {
            true => vec![Cached::Pass; cache_keys.len()],
            false => self.cache.get(cache_keys).await,
        }
    }

    /// Queues the repair of a large product's index, if this process can repair it.
    pub(super) fn want_repair(&self, product: &ProductId) {
        let plugins = lock(&self.plugins).clone();
        if self.statements.index.is_some() && !self.options.external_writers && plugins.bucketing().is_some()
        {
            self.repairs.want(product);
        }
    }

    /// Records how many watches of a product a read returned.
    pub(super) fn note_large(&self, product: &ProductId, rows: u64) {
        if rows > self.options.bucket_threshold && self.large_products.add(product) {
            self.want_repair(product);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.prices.close();
    }
}
