//! What the API asks of the engine.

use std::sync::Arc;

use pricedrop_model::dispatch::{
    CurrentPrices, DeadLetters, Leases, NotificationReader, Recipients, RetryQueue,
};
use pricedrop_model::engine::Engine;
use pricedrop_model::intake::PriceIntake;
use pricedrop_model::ports::WatchWriter;
use pricedrop_model::{Clock, Rules};
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
