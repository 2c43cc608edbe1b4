//! How a notifier works with Kafka.

use std::sync::Arc;

use pricedrop_model::notification::Format;
use pricedrop_model::ports::PriceSink;

use crate::notifier::metrics::Metrics;
use crate::settings::{Delivery, Settings, Start};

/// How a worker of the notifier works.
#[derive(Clone)]
pub struct Options {
    /// The cluster, the topics, the group.
    pub settings: Settings,
    /// Where a group begins that never read.
    pub start: Option<Start>,
    /// Whether somebody said what a first price does.
    pub first_price_is_set: bool,
    /// Exactly once, or lighter.
    pub delivery: Delivery,
    /// Which fields notifications have.
    pub format: Format,
    /// Everything but publish.
    pub shadow: bool,
    /// Where committed prices are shown.
    pub prices: Option<Arc<dyn PriceSink>>,
    /// What is counted.
    pub metrics: Metrics,
}
