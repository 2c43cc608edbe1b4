//! The registry of `/metrics`, to which every part adds its metrics.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// Returns a registry with the metrics of the process.
pub fn registry() -> Registry {
    let mut registry = Registry::with_prefix("pricedrop");
    registry.register_collector(Box::new(Process));
    registry
}

/// The resident memory of this process, in bytes, if the system reports it.
#[derive(Debug)]
struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(bytes) = resident_bytes() else { return Ok(()) };
        let help = "Memory of the process.";
        let family = encoder.encode_descriptor("resident_bytes", help, None, MetricType::Gauge)?;
        ConstGauge::new(bytes).encode(family)
    }
}

fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}
