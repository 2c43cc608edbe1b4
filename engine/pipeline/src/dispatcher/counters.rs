//! What the dispatcher did, as plain numbers for whoever shows them.

use pricedrop_model::sync::lock;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use super::breaker::{Breakers, State};

/// All numbers of one dispatcher.
#[derive(Default)]
pub struct Counters {
    /// Notifications read.
    pub read: AtomicU64,
    /// Addresses left out because their user has too many.
    pub addresses_left_out: AtomicU64,
    /// Notifications of users who can be reached nowhere.
    pub unreachable: AtomicU64,
    channels: Mutex<BTreeMap<String, Arc<ChannelCounters>>>,
    breakers: Mutex<Option<Arc<Breakers>>>,
}

/// The numbers of one channel.
#[derive(Debug, Default)]
pub struct ChannelCounters {
    /// Deliveries that arrived.
    pub delivered: AtomicU64,
    /// Deliveries not sent because they had arrived before.
    pub delivered_before: AtomicU64,
    /// Failed attempts that will be repeated.
    pub retried: AtomicU64,
    /// Deliveries put off without an attempt: breaker, busy channel, another's lease.
    pub put_off: AtomicU64,
    /// Deliveries that failed for good.
    pub dead: AtomicU64,
    /// Of those, bad addresses.
    pub bad_recipients: AtomicU64,
    /// Delayed deliveries dropped because the price had risen again.
    pub risen: AtomicU64,
    /// Deliveries whose plugin gave no answer.
    pub plugin_failures: AtomicU64,
    /// Deliveries taken and not finished.
    pub in_flight: AtomicU64,
    /// Entries in the retry queue, as last surveyed.
    pub waiting: AtomicU64,
}

impl Counters {
    /// The numbers of a channel, at zero when it is new.
    pub fn channel(&self, name: &str) -> Arc<ChannelCounters> {
        let mut channels = lock(&self.channels);
        match channels.get(name) {
            Some(counters) => Arc::clone(counters),
            None => Arc::clone(channels.entry(name.to_owned()).or_default()),
        }
    }

    /// Every channel by name.
    pub fn channels(&self) -> Vec<(String, Arc<ChannelCounters>)> {
        let channels = lock(&self.channels);
        channels.iter().map(|(name, counters)| (name.clone(), Arc::clone(counters))).collect()
    }

    /// Every failing provider (`channel host`) with the state of its breaker;
    /// a healthy one is not listed.
    pub fn breakers(&self) -> Vec<(String, State)> {
        let breakers = lock(&self.breakers);
        breakers.as_ref().map(|breakers| breakers.states()).unwrap_or_default()
    }

    pub(super) fn watch(&self, breakers: &Arc<Breakers>) {
        *lock(&self.breakers) = Some(Arc::clone(breakers));
    }
}

/// Counts one more.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}
