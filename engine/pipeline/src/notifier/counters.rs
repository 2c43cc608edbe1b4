//! What the notifier has done, for `/metrics`, `/readyz` and `--stats`.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use pricedrop_model::ports::Outcome;

/// Counters of one notifier; they only grow.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct Counters {
    /// Records read, whatever became of them.
    pub records: AtomicU64,
    /// Updates whose key was not their product.
    pub keyed_otherwise: AtomicU64,
    pub dead: AtomicU64,
    pub tombstones: AtomicU64,
    pub stale: AtomicU64,
    pub held: AtomicU64,
    pub skipped: AtomicU64,
    pub not_lower: AtomicU64,
    pub drops: AtomicU64,
    /// Drops to a price that was told within the window.
    pub suppressed: AtomicU64,
    pub notifications: AtomicU64,
    /// Told prices that left a full ledger before their window ended: drops to
    /// them may tell the same again.
    pub ledger_overflows: AtomicU64,
    /// Watches read to decide.
    pub rows_read: AtomicU64,
    /// Watches read that wait for another currency.
    pub other_currency: AtomicU64,
    /// Drops that read by bucket.
    pub bucket_reads: AtomicU64,
    /// Drops that read the plain range.
    pub plain_reads: AtomicU64,
    /// Bucketed drops compared with the plain range.
    pub audits: AtomicU64,
    /// Updates a failing throttle let pass.
    pub failed_open: AtomicU64,
    pub commits: AtomicU64,
    /// Microseconds spent in commits.
    pub commit_micros: AtomicU64,
    /// Times the notifier had to go back to what was stored.
    pub restores: AtomicU64,
    trouble: Mutex<Option<String>>,
}

impl Counters {
    /// What keeps the notifier from working, if anything.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(|poison| poison.into_inner()).clone()
    }

    pub(super) fn set_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(|poison| poison.into_inner()) = trouble;
    }

    /// Says so whenever there are twice as many.
    pub(super) fn count_keyed_otherwise(&self, updates: u64) {
        let before = self.keyed_otherwise.fetch_add(updates, Relaxed);
        if before.checked_ilog2() != (before + updates).checked_ilog2() {
            tracing::warn!(
                updates = before + updates,
                "updates are not keyed by productId: a product is spread over partitions, its prices are compared \
                 within each alone, and wrong alerts are possible; let producers set productId as the record's key"
            );
        }
    }

    pub(super) fn count(&self, outcome: &Outcome) {
        let counter = match outcome {
            Outcome::Dead(_) => &self.dead,
            Outcome::Tombstone => &self.tombstones,
            Outcome::Stale => &self.stale,
            Outcome::Held => &self.held,
            Outcome::Skipped => &self.skipped,
            Outcome::NotLower => &self.not_lower,
            Outcome::Drop { .. } => return,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(super) fn count_drop(&self, told: u64, told_before: bool) {
        self.drops.fetch_add(1, Relaxed);
        self.notifications.fetch_add(told, Relaxed);
        self.suppressed.fetch_add(told_before.into(), Relaxed);
    }
}
