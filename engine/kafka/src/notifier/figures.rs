//! What the Kafka adapter counts.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Numbers of a worker; clones of its `Arc` share them.
#[derive(Debug, Default)]
pub struct Figures {
    /// Transactions committed.
    pub commits: AtomicU64,
    /// Microseconds they took, summed.
    pub commit_micros: AtomicU64,
    /// Notifications in them.
    pub notifications: AtomicU64,
    /// Partitions taken over, times.
    pub take_overs: AtomicU64,
    /// Milliseconds the last one took.
    pub take_over_ms: AtomicU64,
    /// Removals carried out.
    pub removals: AtomicU64,
}

impl Figures {
    pub(crate) fn committed(&self, took: Duration, notifications: u64) {
        self.commits.fetch_add(1, Relaxed);
        self.commit_micros.fetch_add(took.as_micros() as u64, Relaxed);
        self.notifications.fetch_add(notifications, Relaxed);
    }

    pub(crate) fn took_over(&self, took_ms: u64) {
        self.take_overs.fetch_add(1, Relaxed);
        self.take_over_ms.store(took_ms, Relaxed);
    }
}
