//! Metrics of the plugins, for `/metrics` and `/v1/plugins`.

use std::time::Duration;

use pricedrop_model::histogram::SHORT_SECONDS;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

type OfPlugin = [(&'static str, String); 1];

/// Metrics of the plugins of a host, by file stem. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    calls: Family<OfPlugin, Counter>,
    call_seconds: Family<OfPlugin, Histogram, fn() -> Histogram>,
    traps: Family<OfPlugin, Counter>,
    breaches: Family<OfPlugin, Counter>,
    reloads: Family<OfPlugin, Counter>,
    refusals: Family<OfPlugin, Counter>,
    rollbacks: Family<OfPlugin, Counter>,
}

/// The metrics of one file stem since the start, over all its generations.
#[derive(Debug, Clone)]
pub(crate) struct PluginMetrics {
    pub(crate) calls: Counter,
    pub(crate) call_seconds: Histogram,
    /// Failed batches, not single calls.
    pub(crate) traps: Counter,
    pub(crate) breaches: Counter,
    pub(crate) reloads: Counter,
    pub(crate) refusals: Counter,
    pub(crate) rollbacks: Counter,
}

fn call_seconds() -> Histogram {
    Histogram::new(SHORT_SECONDS)
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics {
            calls: Family::default(),
            call_seconds: Family::new_with_constructor(call_seconds),
            traps: Family::default(),
            breaches: Family::default(),
            reloads: Family::default(),
            refusals: Family::default(),
            rollbacks: Family::default(),
        }
    }
}

impl Metrics {
    /// Returns the metrics of a file stem; zero if it is new.
    pub(crate) fn plugin(&self, stem: &str) -> PluginMetrics {
        let plugin = [("plugin", stem.to_owned())];
        PluginMetrics {
            calls: self.calls.get_or_create_owned(&plugin),
            call_seconds: self.call_seconds.get_or_create_owned(&plugin),
            traps: self.traps.get_or_create_owned(&plugin),
            breaches: self.breaches.get_or_create_owned(&plugin),
            reloads: self.reloads.get_or_create_owned(&plugin),
            refusals: self.refusals.get_or_create_owned(&plugin),
            rollbacks: self.rollbacks.get_or_create_owned(&plugin),
        }
    }

    /// Registers the metrics.
    pub(crate) fn register(&self, registry: &mut Registry) {
        for (name, help, family) in [
            ("plugin_calls", "Calls of a plugin", &self.calls),
            ("plugin_traps", "Batches that failed", &self.traps),
            ("plugin_breaches", "Answers that broke the contract", &self.breaches),
            ("plugin_reloads", "New generations that passed the checks", &self.reloads),
            ("plugin_refusals", "New generations that did not pass the checks", &self.refusals),
            ("plugin_rollbacks", "Generations that were rolled back to the previous one", &self.rollbacks),
        ] {
            registry.register(name, help, family.clone());
        }
        let help = "Duration of plugin calls";
        registry.register("plugin_call_seconds", help, self.call_seconds.clone());
    }
}

impl Default for PluginMetrics {
    fn default() -> PluginMetrics {
        PluginMetrics {
            calls: Counter::default(),
            call_seconds: call_seconds(),
            traps: Counter::default(),
            breaches: Counter::default(),
            reloads: Counter::default(),
            refusals: Counter::default(),
            rollbacks: Counter::default(),
        }
    }
}

impl PluginMetrics {
    pub(crate) fn called(&self, took: Duration) {
        self.calls.inc();
        self.call_seconds.observe(took.as_secs_f64());
    }
}
