//! Applies one batch of changes, so that every view opened afterwards sees it.
//!
//! A batch is repeated with a later timestamp if it was written too slowly, if the cache may hide
//! it, or if the policy that assigned its buckets has changed meanwhile.
//!
//! | State     | What is done                                               | Next      |
//! |-----------|------------------------------------------------------------|-----------|
//! | `Planned` | marks the cache entries of the batch as being written      | `Marked`  |
//! | `Marked`  | writes the batch                                           | `Written` |
//! | `Written` | drops the cache entries and reads the policies again       | `Checked` |
//! | `Checked` | without a fault: nothing                                   | `Done`    |
//! | `Checked` | with a fault: plans again, up to [`REWRITES`] attempts     | `Planned` |
//!
//! Writing, checking and planning again can fail. The cache entries are dropped before a failed
//! write is reported.

use std::time::{Duration, Instant};

use pricedrop_model::WallTime;
use pricedrop_model::cache::CacheKey;
use pricedrop_model::ports::Error;

use super::index_build::Policies;
use super::limits::{AHEAD_SLACK_MS, BATCHES, IN_TIME_MS, REWRITES, WRITE_MARGIN_MS};
use super::shared::Shared;
use super::write::{AssignedBuckets, Change, assign_all, cache_keys, writes};

/// When a batch was written, and from when on views see it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Applied {
    pub(super) updated_at: WallTime,
    /// If the cache could not be informed: from when on every view sees the batch.
    pub(super) effective_by: Option<WallTime>,
}

/// Applies a batch of changes, sorted by product. When it returns, every view opened afterwards
/// sees the batch, or every view opened from `effective_by` on.
pub(super) async fn apply(shared: &Shared, changes: &[Change]) -> Result<Applied, Error> {
    let mut batch = BatchWrite::plan(shared, changes).await?;
    let mut state = State::Planned;
    loop {
        state = match state {
            State::Planned => batch.begin_invalidation().await,
            State::Marked(marked) => batch.write(marked).await?,
            State::Written(written) => batch.check(written).await?,
            State::Checked(checked) => match batch.fault(&checked) {
                None => State::Done(batch.applied(&checked)),
                Some(fault) => batch.plan_again(fault, checked).await?,
            },
            State::Done(applied) => return Ok(applied),
        };
    }
}

enum State {
    Planned,
    Marked(Marked),
    Written(Written),
    Checked(Checked),
    Done(Applied),
}

/// The cache entries of the batch are marked.
struct Marked {
    entries: Vec<CacheKey>,
    /// For how many milliseconds after the write readers may find an outdated entry. `None` means
    /// that the cache was informed.
    stale_ms: Option<u64>,
}

/// The batch was written, or the write failed.
struct Written {
    marked: Marked,
    outcome: Result<(), Error>,
    began: Instant,
    in_time: bool,
    /// The timestamp of the write, in milliseconds.
    updated_at: WallTime,
    /// The `updated_at` of its rows: later than `updated_at` if the cache could not be informed.
    rows_at: WallTime,
}

/// What is known after the cache entries were dropped.
struct Checked {
    policies: Policies,
    in_time: bool,
    /// As in [`Marked`].
    stale_ms: Option<u64>,
    /// For how many milliseconds after the write began a drop may miss the watches.
    missed_ms: u64,
    updated_at: WallTime,
    rows_at: WallTime,
}

/// Why a batch has to be written again. If there are several faults, the first in this order is
/// reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// A drop may miss the watches and record that all watches were notified, so the watches must
    /// look newer than that drop.
    Uncovered,
    /// A view opened meanwhile may lack it, although its wall time is after the timestamp.
    Slow,
    /// Its index rows are in the wrong buckets or missing.
    PolicyChanged,
}

impl Fault {
    fn text(self) -> &'static str {
        match self {
            Fault::Uncovered => "the cache could not be invalidated",
            Fault::Slow => "Cassandra took too long",
            Fault::PolicyChanged => "the bucketing policy was changed meanwhile",
        }
    }
}

/// A batch, and what its attempts have shown so far.
struct BatchWrite<'a> {
    shared: &'a Shared,
    changes: &'a [Change],
    /// Whether any change is a put. Only the rows of puts can look newer.
    puts: bool,
    policies: Policies,
    assigned: Vec<AssignedBuckets>,
    /// How far in the future the rows' `updated_at` is, in milliseconds.
    ahead_ms: u64,
    /// As in [`Marked`], for entries under policies that have changed since. No later attempt
    /// informs the cache of them.
    stale_ms: Option<u64>,
    failed_attempts: u32,
}

impl<'a> BatchWrite<'a> {
    async fn plan(shared: &'a Shared, changes: &'a [Change]) -> Result<BatchWrite<'a>, Error> {
        let policies = shared.known_policies().await?;
        let assigned = assign_all(shared, &policies, changes).await;
        let puts = changes.iter().any(|change| matches!(change, Change::Put(_)));
        Ok(BatchWrite {
            shared,
            changes,
            puts,
            policies,
            assigned,
            ahead_ms: 0,
            stale_ms: None,
            failed_attempts: 0,
        })
    }

    async fn begin_invalidation(&mut self) -> State {
        let entries = cache_keys(self.changes, &self.assigned);
        let stale_ms = self.shared.cache.begin_invalidation(&entries).await;
        if let (true, Some(stale_ms)) = (self.puts, stale_ms) {
            self.ahead_ms = self.ahead_ms.max(stale_ms.saturating_add(AHEAD_SLACK_MS));
        }
        State::Marked(Marked { entries, stale_ms })
    }

    async fn write(&self, marked: Marked) -> Result<State, Error> {
        let shared = self.shared;
        // A repeated batch is written alone, so that other batches do not slow it down.
        let permits = if self.failed_attempts == 0 { 1 } else { BATCHES as u32 };
        let permit = shared.batches.acquire_many(permits).await;
        let (began, stamp) = (Instant::now(), shared.write_timestamps.next());
        let rows = stamp.with_rows_ahead(self.ahead_ms);
        let writes = writes(shared, self.changes, &self.assigned, rows)?;
        let outcome = if self.assigned.is_empty() {
            // Rows without an index are independent of each other, so no logged batch is needed.
            shared.requests.write_each(&writes).await
        } else {
            shared.requests.write(&writes).await
        };
        drop(permit);
        let in_time = began.elapsed() < Duration::from_millis(IN_TIME_MS.unsigned_abs());
        let (updated_at, rows_at) = (stamp.updated_at, rows.updated_at);
        Ok(State::Written(Written { marked, outcome, began, in_time, updated_at, rows_at }))
    }

    async fn check(&self, written: Written) -> Result<State, Error> {
        let Written { marked, outcome, began, in_time, updated_at, rows_at } = written;
        let policies = match outcome {
            Ok(()) => self.shared.policies().await,
            Err(error) => Err(error),
        };
        let stale_ms = marked.stale_ms.max(self.shared.cache.end_invalidation(&marked.entries).await);
        let missed_ms = stale_ms.map_or(0, |ms| ms.saturating_add(began.elapsed().as_millis() as u64));
        Ok(State::Checked(Checked { policies: policies?, in_time, stale_ms, missed_ms, updated_at, rows_at }))
    }

    fn fault(&self, checked: &Checked) -> Option<Fault> {
        if !self.is_covered(checked) {
            Some(Fault::Uncovered)
        } else if !checked.in_time {
            Some(Fault::Slow)
        } else if self.policy_changed(checked) {
            Some(Fault::PolicyChanged)
        } else {
            None
        }
    }

    fn is_covered(&self, checked: &Checked) -> bool {
        !self.puts || checked.missed_ms <= self.ahead_ms
    }

    fn policy_changed(&self, checked: &Checked) -> bool {
        !checked.policies.kept().eq(self.policies.kept())
    }

    /// Corrects every fault of this attempt, not only the reported one.
    async fn plan_again(&mut self, reported: Fault, checked: Checked) -> Result<State, Error> {
        self.shared.requests.metrics.watch_write_retries.inc();
        self.failed_attempts += 1;
        if self.failed_attempts == REWRITES {
            return Err(used_up(reported));
        }
        if !self.is_covered(&checked) {
            self.ahead_ms = checked.missed_ms.saturating_add(AHEAD_SLACK_MS);
        }
        if self.policy_changed(&checked) {
            self.stale_ms = self.stale_ms.max(checked.stale_ms);
            self.policies = checked.policies;
            self.assigned = assign_all(self.shared, &self.policies, self.changes).await;
        }
        Ok(State::Planned)
    }

    fn applied(&self, checked: &Checked) -> Applied {
        let now = self.shared.write_timestamps.now();
        let visible_after = |ms| {
            let until = WallTime(now.0.saturating_add_unsigned(ms)).max(checked.rows_at);
            WallTime(until.0.saturating_add(WRITE_MARGIN_MS))
        };
        let stale_ms = self.stale_ms.max(checked.stale_ms).or((self.ahead_ms > 0).then_some(0));
        Applied { updated_at: checked.updated_at, effective_by: stale_ms.map(visible_after) }
    }
}

fn used_up(fault: Fault) -> Error {
    Error::Unavailable(
        format!(
            "written {REWRITES} times within {IN_TIME_MS} ms each, and not done: at last {}; write again",
            fault.text()
        )
        .into(),
    )
}
