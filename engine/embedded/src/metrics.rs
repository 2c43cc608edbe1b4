//! Metrics of the embedded store, read when they are collected.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::{Embedded, PriceIntake};

/// The store and its intake, read at each collection.
struct Scraped {
    store: Embedded,
    intake: PriceIntake,
}

impl fmt::Debug for Scraped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scraped").finish_non_exhaustive()
    }
}

impl Embedded {
    /// Registers the metrics of the store and its intake.
    pub fn register_metrics(&self, intake: &PriceIntake, registry: &mut Registry) {
        let scraped = Scraped { store: self.clone(), intake: intake.clone() };
        registry.register_collector(Box::new(scraped));
    }
}

impl Collector for Scraped {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut gauge = |name, help, value: u64| {
            let family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(family)
        };
        let log_at = u64::try_from(self.intake.log_at()).unwrap_or(0);
        gauge("input_offset", "Records below it are committed.", log_at)?;
        gauge("intake_waiting", "Records waiting for the notifier.", self.intake.waiting() as u64)?;
        // `/readyz` shows that the store is unavailable.
        match self.store.disk_bytes() {
            Ok(bytes) => gauge("disk_bytes", "The store on disk.", bytes),
            Err(_) => Ok(()),
        }
    }
}
