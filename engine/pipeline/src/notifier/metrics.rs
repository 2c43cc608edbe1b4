//! Metrics of the notifiers, for `/metrics` and `--stats`.

use std::time::Duration;

use pricedrop_model::histogram::LONG_SECONDS;
use pricedrop_model::ports::Outcome;
use pricedrop_model::{EventTime, WallTime};

use super::decided::FutureUpdate;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

type ByLabel = Family<[(&'static str, &'static str); 1], Counter>;

/// Metrics of the notifiers of a process. Clones share them.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Metrics {
    /// Records of committed batches, whatever their outcome.
    pub records: Counter,
    /// Updates whose record key was not their product id.
    pub key_mismatches: Counter,
    /// Updates whose time was more than a day ahead of the clocks.
    pub future: Counter,
    updates: ByLabel,
    pub dead: Counter,
    pub tombstones: Counter,
    pub stale: Counter,
    pub held: Counter,
    pub skipped: Counter,
    pub not_lower: Counter,
    /// Drops whose fan-out is finished.
    pub drops: Counter,
    /// Drops to a price that was notified within the window.
    pub deduplicated: Counter,
    /// Notifications, counted when their fan-out is finished.
    pub notifications: Counter,
    /// Prices that left a full ledger before their window ended: drops to them may notify the same
    /// users again.
    pub ledger_overflows: Counter,
    /// Watches read, including those read again to resume or to compare a fan-out.
    pub rows_read: Counter,
    /// Watches read that are in another currency.
    pub other_currency: Counter,
    lookups: ByLabel,
    /// Drops read by bucket.
    pub bucket_reads: Counter,
    /// Drops read by the plain range.
    pub plain_reads: Counter,
    /// Drops read by bucket and compared with the plain range.
    pub audits: Counter,
    /// Updates that a failing throttle gave no decision on: passed, or held by the cap.
    pub failed_open: Counter,
    pub commits: Counter,
    /// Duration of commits, seconds.
    pub commit_seconds: Histogram,
    /// Time from a record's log timestamp to its commit, seconds.
    pub update_to_commit_seconds: Histogram,
    /// Restores of the stored progress, the one at start included.
    pub restores: Counter,
}

impl Default for Metrics {
    fn default() -> Metrics {
        let (updates, lookups) = (ByLabel::default(), ByLabel::default());
        let outcome = |name| updates.get_or_create_owned(&[("outcome", name)]);
        let path = |name| lookups.get_or_create_owned(&[("path", name)]);
        Metrics {
            records: Counter::default(),
            key_mismatches: Counter::default(),
            future: Counter::default(),
            dead: outcome("dead"),
            tombstones: outcome("tombstone"),
            stale: outcome("stale"),
            held: outcome("held"),
            skipped: outcome("skipped"),
            not_lower: outcome("not-lower"),
            drops: outcome("drop"),
            deduplicated: Counter::default(),
            notifications: Counter::default(),
            ledger_overflows: Counter::default(),
            rows_read: Counter::default(),
            other_currency: Counter::default(),
            bucket_reads: path("bucket"),
            plain_reads: path("plain"),
            audits: Counter::default(),
            failed_open: Counter::default(),
            commits: Counter::default(),
            commit_seconds: Histogram::new(LONG_SECONDS),
            update_to_commit_seconds: Histogram::new(LONG_SECONDS),
            restores: Counter::default(),
            updates,
            lookups,
        }
    }
}

impl Metrics {
    /// Registers all metrics.
    pub fn register(&self, registry: &mut Registry) {
        for (name, help, counter) in [
            ("records", "Records read", &self.records),
            ("key_mismatches", "Updates whose key was not their productId", &self.key_mismatches),
            (
                "future_updates",
                "Updates whose time was more than a day ahead of their record's timestamp or of the clock",
                &self.future,
            ),
            ("notifications", "Notifications committed", &self.notifications),
            (
                "deduplicated_drops",
                "Drops to a price that was notified within the deduplication window",
                &self.deduplicated,
            ),
            (
                "ledger_overflows",
                "Notified prices that left a full ledger before their window ended",
                &self.ledger_overflows,
            ),
            ("rows_read", "Watches read to decide drops", &self.rows_read),
            ("other_currency_rows", "Watches read that are in another currency", &self.other_currency),
            ("audits", "Bucketed drops compared with the plain range", &self.audits),
            (
                "failed_open",
                "Updates that a failing throttling policy gave no decision on",
                &self.failed_open,
            ),
            ("commits", "Commits", &self.commits),
            ("restores", "Restores of the stored progress", &self.restores),
        ] {
            registry.register(name, help, counter.clone());
        }
        registry.register("updates", "Records by outcome", self.updates.clone());
        registry.register("lookups", "Drops by how their watches were read", self.lookups.clone());
        registry.register("commit_seconds", "Duration of commits", self.commit_seconds.clone());
        registry.register(
            "update_to_commit_seconds",
            "Time from an update's entry in the log to its commit",
            self.update_to_commit_seconds.clone(),
        );
    }

    pub(super) fn count_commit(&self, took: Duration) {
        self.commits.inc();
        self.commit_seconds.observe(took.as_secs_f64());
    }

    /// Counts records with these log timestamps that were committed at `now`.
    pub(super) fn count_logged(&self, logged: &[EventTime], now: WallTime) {
        for at in logged {
            let waited_ms = now.0.saturating_sub(at.0).max(0);
            self.update_to_commit_seconds.observe(waited_ms as f64 / 1e3);
        }
    }

    /// Counts updates with a wrong key, and warns each time their number has doubled.
    pub(super) fn count_key_mismatches(&self, updates: u64) {
        let before = self.key_mismatches.inc_by(updates);
        if before.checked_ilog2() != (before + updates).checked_ilog2() {
            tracing::warn!(
                updates = before + updates,
                "updates are not keyed by productId: a product is spread over partitions, its prices are compared \
                 within each alone, and wrong notifications are possible; configure the producers to set productId as the record key"
            );
        }
    }

    /// Counts updates from the future, and warns of the last one each time their number has doubled.
    pub(super) fn count_future(&self, updates: &[FutureUpdate]) {
        let Some(last) = updates.last() else { return };
        let before = self.future.inc_by(updates.len() as u64);
        let now = before + updates.len() as u64;
        if before.checked_ilog2() != now.checked_ilog2() {
            tracing::warn!(
                updates = now,
                product = %last.product,
                partition = last.position.partition.0,
                offset = last.position.offset,
                time = %last.at,
                "the time of an update is more than a day in the future: older updates of the product are stale until \
                 then; check the clock and the time unit of its producer"
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
        counter.inc();
    }

    pub(super) fn count_drop(&self, told: u64, told_before: bool) {
        self.drops.inc();
        self.notifications.inc_by(told);
        self.deduplicated.inc_by(told_before.into());
    }
}
