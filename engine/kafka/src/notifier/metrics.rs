//! Metrics of the workers of a notifier.

use std::time::Duration;

use pricedrop_model::histogram::LONG_SECONDS;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Metrics of the workers of a process. Clones share them.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Committed transactions.
    pub transactions: Counter,
    /// Durations of committed transactions, seconds.
    pub transaction_seconds: Histogram,
    /// Notifications in committed transactions; exported by the notifier as `notifications`.
    pub notifications: Counter,
    /// Acquisitions of partitions.
    pub partition_acquisitions: Counter,
    /// Durations of acquisitions, seconds.
    pub partition_acquisition_seconds: Histogram,
    /// Removals carried out.
    pub removals: Counter,
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics {
            transactions: Counter::default(),
            transaction_seconds: Histogram::new(LONG_SECONDS),
            notifications: Counter::default(),
            partition_acquisitions: Counter::default(),
            partition_acquisition_seconds: Histogram::new(LONG_SECONDS),
            removals: Counter::default(),
        }
    }
}

impl Metrics {
    /// Registers the metrics.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("transactions", "Transactions committed", self.transactions.clone());
        registry.register(
            "transaction_seconds",
            "How long transactions took",
            self.transaction_seconds.clone(),
        );
        registry.register(
            "partition_acquisitions",
            "Times that partitions were acquired",
            self.partition_acquisitions.clone(),
        );
        registry.register(
            "partition_acquisition_seconds",
            "How long acquisitions of partitions took",
            self.partition_acquisition_seconds.clone(),
        );
        registry.register("removals", "Told once-watches removed", self.removals.clone());
    }

    pub(crate) fn committed(&self, took: Duration, notifications: u64) {
        self.transactions.inc();
        self.transaction_seconds.observe(took.as_secs_f64());
        self.notifications.inc_by(notifications);
    }

    pub(crate) fn acquired(&self, took: Duration) {
        self.partition_acquisitions.inc();
        self.partition_acquisition_seconds.observe(took.as_secs_f64());
    }
}
