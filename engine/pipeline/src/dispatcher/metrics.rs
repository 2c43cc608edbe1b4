//! Metrics of the dispatcher, for `/metrics`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use pricedrop_model::histogram::LONG_SECONDS;
use pricedrop_model::sync::lock;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::breaker::{Breakers, FailingProvider};

type OfChannel = [(&'static str, String); 1];
type OfOutcome = [(&'static str, String); 2];

/// Metrics of one dispatcher.
#[derive(Default)]
pub struct Metrics {
    /// Notifications read.
    pub read: Counter,
    /// Addresses ignored because their user has more than `addresses_per_user`.
    pub addresses_ignored: Counter,
    /// Notifications of users without an address, when there is no default channel.
    pub unreachable: Counter,
    families: Families,
    channels: Mutex<BTreeMap<String, Arc<ChannelMetrics>>>,
    breakers: Mutex<Option<Arc<Breakers>>>,
}

struct Families {
    deliveries: Family<OfOutcome, Counter>,
    bad_recipients: Family<OfChannel, Counter>,
    attempt_seconds: Family<OfChannel, Histogram, fn() -> Histogram>,
    in_flight: Family<OfChannel, Gauge>,
    waiting: Family<OfChannel, Gauge>,
}

/// Metrics of one channel.
#[derive(Debug)]
pub struct ChannelMetrics {
    /// Deliveries that the provider accepted.
    pub delivered: Counter,
    /// Deliveries not sent because they were confirmed before.
    pub delivered_before: Counter,
    /// Failed attempts that are repeated later.
    pub retried: Counter,
    /// Deliveries deferred without an attempt: open breaker, slow channel, another worker's lease.
    pub deferred: Counter,
    /// Deliveries that became dead letters.
    pub dead: Counter,
    /// Dead letters because of a bad address; included in `dead`.
    pub bad_recipients: Counter,
    /// Delayed deliveries dropped because the price rose above the watch; `risen` in the metric.
    pub obsolete: Counter,
    /// Messages that the plugin failed to render and replies that it failed to classify. The
    /// delivery's outcome is counted too.
    pub plugin_failures: Counter,
    /// Duration of requests to the provider, seconds.
    pub attempt_seconds: Histogram,
    /// Deliveries taken from a queue and not finished.
    pub in_flight: Gauge,
    /// Entries in the retry queue, counted every few seconds.
    pub waiting: Gauge,
}

impl Default for Families {
    fn default() -> Families {
        Families {
            deliveries: Family::default(),
            bad_recipients: Family::default(),
            attempt_seconds: Family::new_with_constructor(|| Histogram::new(LONG_SECONDS)),
            in_flight: Family::default(),
            waiting: Family::default(),
        }
    }
}

impl Families {
    fn channel(&self, name: &str) -> ChannelMetrics {
        let channel = [("channel", name.to_owned())];
        let outcome = |outcome: &str| {
            let labels = [("channel", name.to_owned()), ("outcome", outcome.to_owned())];
            self.deliveries.get_or_create_owned(&labels)
        };
        ChannelMetrics {
            delivered: outcome("delivered"),
            delivered_before: outcome("delivered-before"),
            retried: outcome("retried"),
            deferred: outcome("deferred"),
            dead: outcome("dead"),
            obsolete: outcome("risen"),
            plugin_failures: outcome("plugin-failure"),
            bad_recipients: self.bad_recipients.get_or_create_owned(&channel),
            attempt_seconds: self.attempt_seconds.get_or_create_owned(&channel),
            in_flight: self.in_flight.get_or_create_owned(&channel),
            waiting: self.waiting.get_or_create_owned(&channel),
        }
    }
}

impl Metrics {
    /// Registers all metrics.
    pub fn register(&self, registry: &mut Registry) {
        let Families { deliveries, bad_recipients, attempt_seconds, in_flight, waiting } = &self.families;
        registry.register("dispatched", "Notifications the dispatcher read", self.read.clone());
        registry.register(
            "unreachable",
            "Notifications of users without an address",
            self.unreachable.clone(),
        );
        registry.register(
            "addresses_left_out",
            "Addresses ignored because their user has too many",
            self.addresses_ignored.clone(),
        );
        registry.register("deliveries", "Deliveries by channel and outcome", deliveries.clone());
        registry.register(
            "bad_recipients",
            "Deliveries that failed permanently because of their address",
            bad_recipients.clone(),
        );
        registry.register(
            "delivery_attempt_seconds",
            "Duration of requests to providers",
            attempt_seconds.clone(),
        );
        registry.register(
            "deliveries_in_flight",
            "Deliveries taken from a queue and not finished",
            in_flight.clone(),
        );
        registry.register("retries_waiting", "Deliveries waiting for their next attempt", waiting.clone());
    }

    /// Returns the metrics of a channel; creates them at zero if there are none.
    pub fn channel(&self, name: &str) -> Arc<ChannelMetrics> {
        let mut channels = lock(&self.channels);
        match channels.get(name) {
            Some(metrics) => Arc::clone(metrics),
            None => {
                let metrics = Arc::new(self.families.channel(name));
                channels.insert(name.to_owned(), Arc::clone(&metrics));
                metrics
            }
        }
    }

    /// Every channel with its metrics, by name.
    pub fn channels(&self) -> Vec<(String, Arc<ChannelMetrics>)> {
        let channels = lock(&self.channels);
        channels.iter().map(|(name, metrics)| (name.clone(), Arc::clone(metrics))).collect()
    }

    /// Every failing provider, with the state of its breaker. Healthy providers are not listed.
    pub fn breakers(&self) -> Vec<FailingProvider> {
        let breakers = lock(&self.breakers);
        breakers.as_ref().map(|breakers| breakers.states()).unwrap_or_default()
    }

    /// Sets the breakers whose states [`Metrics::breakers`] returns.
    pub(super) fn watch(&self, breakers: &Arc<Breakers>) {
        *lock(&self.breakers) = Some(Arc::clone(breakers));
    }
}
