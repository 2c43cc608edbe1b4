//! What the API asks of the engine.

use std::sync::Arc;

use async_trait::async_trait;
use pricedrop_model::dispatch::{
    CurrentPrices, DeadLetters, Leases, NotificationReader, Recipients, RetryQueue,
};
use pricedrop_model::health::Reason;
use pricedrop_model::intake::PriceIntake;
use pricedrop_model::ports::{Error, WatchWriter};
use pricedrop_model::{Clock, ProductId, Rules};
use prometheus_client::registry::Registry;

/// Everything the routes reach.
#[derive(Clone)]
pub struct Api {
    /// The engine's clock.
    pub clock: Arc<dyn Clock>,
    /// For whether a new watch is armed.
    pub rules: Rules,
    /// Takes prices.
    pub intake: Arc<dyn PriceIntake>,
    /// Watches.
    pub watches: Arc<dyn WatchWriter>,
    /// Addresses.
    pub recipients: Arc<dyn Recipients>,
    /// Whose delivery is whose.
    pub leases: Arc<dyn Leases>,
    /// Where replayed deliveries go.
    pub retries: Arc<dyn RetryQueue>,
    /// What died.
    pub dead_letters: Arc<dyn DeadLetters>,
    /// What products cost.
    pub prices: Arc<dyn CurrentPrices>,
    /// What was told.
    pub outbox: Arc<dyn NotificationReader>,
    /// Health, plugins, buckets.
    pub engine: Arc<dyn Engine>,
    /// All that is counted.
    pub metrics: Arc<Registry>,
}

/// Why buckets were not migrated, or not repaired.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// There is nothing to do, or it cannot be done now; in words.
    #[error("{0}")]
    Refused(String),
    /// The store is away; try again.
    #[error(transparent)]
    Store(#[from] Error),
}

/// The engine as a whole.
#[async_trait]
pub trait Engine: Send + Sync {
    /// Nothing worth saying: ready and well.
    async fn reasons(&self) -> Vec<Reason>;

    /// The plugins, loaded, staged and refused.
    async fn plugins(&self) -> serde_json::Value;

    /// These addresses of a channel in their canonical form, or what is wrong with
    /// each, in order. Those of a channel that is not loaded stay as they are.
    async fn canonical(&self, channel: &str, addresses: Vec<String>) -> Vec<Result<String, String>>;

    /// The active bucketing policy and the staged one.
    ///
    /// # Errors
    /// The store is away; try again.
    async fn buckets(&self) -> Result<serde_json::Value, Error>;

    /// Rebuilds the buckets by the staged policy and makes it active.
    ///
    /// # Errors
    /// Nothing to do, or the store is away.
    async fn migrate_buckets(&self) -> Result<serde_json::Value, MigrateError>;

    /// Builds and compares the buckets of a product, or of all that are large,
    /// from their watches.
    ///
    /// # Errors
    /// Nothing to do, or the store is away.
    async fn repair_buckets(&self, product: Option<ProductId>) -> Result<serde_json::Value, MigrateError>;
}
