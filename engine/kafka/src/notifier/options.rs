//! Options of a notifier on Kafka.

use std::sync::Arc;

use pricedrop_model::notification::Format;
use pricedrop_model::ports::PriceSink;

use crate::notifier::metrics::Metrics;
use crate::settings::{Delivery, Settings, Start};

/// The options of one worker.
#[derive(Clone)]
pub struct Options {
    /// The cluster, the topics, the group.
    pub settings: Settings,
    /// Where a partition begins that was never read.
    pub start: Option<Start>,
    /// Whether the configuration sets what the first price of a product does.
    pub first_price_is_set: bool,
    /// Exactly once or at least once.
    pub delivery: Delivery,
    /// Which fields notifications have.
    pub format: Format,
    /// Reads, decides and stores states, but publishes nothing.
    pub shadow: bool,
    /// Receives committed prices, to show them.
    pub prices: Option<Arc<dyn PriceSink>>,
    /// The metrics of the worker.
    pub metrics: Metrics,
}
