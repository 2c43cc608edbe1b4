//! The ports that the HTTP API uses.

use std::sync::Arc;

use pricedrop_model::dispatch::{
    CurrentPrices, DeadLetters, Leases, NotificationReader, Recipients, RetryQueue,
};
use pricedrop_model::engine::Engine;
use pricedrop_model::intake::PriceIntake;
use pricedrop_model::ports::WatchWriter;
use pricedrop_model::{Clock, Rules};
use prometheus_client::registry::Registry;

/// All ports of the routes; clones share them.
#[derive(Clone)]
pub struct Api {
    /// The engine's clock.
    pub clock: Arc<dyn Clock>,
    /// The rules, which say whether a new watch is armed.
    pub rules: Rules,
    /// The input for posted prices.
    pub intake: Arc<dyn PriceIntake>,
    /// Watches.
    pub watches: Arc<dyn WatchWriter>,
    /// Addresses of users.
    pub recipients: Arc<dyn Recipients>,
    /// Leases of deliveries, released when a dead letter is replayed.
    pub leases: Arc<dyn Leases>,
    /// The retry queue, for replayed deliveries.
    pub retries: Arc<dyn RetryQueue>,
    /// The dead letters.
    pub dead_letters: Arc<dyn DeadLetters>,
    /// Current prices.
    pub prices: Arc<dyn CurrentPrices>,
    /// Committed notifications.
    pub outbox: Arc<dyn NotificationReader>,
    /// Health, plugins and buckets of the engine.
    pub engine: Arc<dyn Engine>,
    /// The registry with all metrics.
    pub metrics: Arc<Registry>,
}
