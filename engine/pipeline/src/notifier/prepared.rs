//! A prepared batch: decided, and not committed yet.

use std::time::Instant;

use pricedrop_model::ports::{Commit, Committer, Outcome, UpdateSource};
use pricedrop_model::{Clock, EventTime, Position};

use super::decided::FutureUpdate;
use super::error::Failure;
use super::input_progress::ProgressSnapshot;
use super::intake::Incoming;
use super::metrics::Metrics;
use super::throttle::FailOpen;

/// A batch that is decided and not committed yet.
pub struct Prepared {
    /// What is committed.
    pub commit: Commit,
    /// What is reported after the commit.
    pub report: CommitReport,
    /// What is needed to undo it if the commit fails.
    pub undo: Undo,
}

/// Outcomes and counts of a batch, reported once it is committed.
pub struct CommitReport {
    /// Number of records in the batch.
    pub records: u64,
    /// Updates whose record key was not their product id.
    pub key_mismatches: u64,
    /// The log timestamps of its records.
    pub logged: Vec<EventTime>,
    /// The outcomes of records.
    pub outcomes: Vec<(Position, Outcome)>,
    /// For each finished drop: how many users it notified, and whether its price had been notified
    /// within the window.
    pub drops: Vec<(u64, bool)>,
    /// Prices that left a full ledger before their window ended.
    pub forgotten: u64,
    /// Updates whose time is more than a day ahead of the clocks.
    pub future: Vec<FutureUpdate>,
}

/// What undoes a batch whose commit failed.
pub struct Undo {
    /// Its records.
    pub taken: Vec<Incoming>,
    /// The progress before it.
    pub before: ProgressSnapshot,
    /// The cap on updates that pass a failing throttle, before it.
    pub fail_open: FailOpen,
}

impl Prepared {
    /// Splits it into what is committed and reported, and what is kept until the commit succeeds.
    pub fn split(self) -> ((Commit, CommitReport), Undo) {
        ((self.commit, self.report), self.undo)
    }
}

/// Commits a batch, if there is one, and reports its outcomes and counts at once, while the next
/// batch may still be being decided.
pub async fn commit(
    committer: &mut dyn Committer,
    source: &mut dyn UpdateSource,
    (metrics, clock): (&Metrics, &dyn Clock),
    committing: Option<(Commit, CommitReport)>,
) -> Result<(), Failure> {
    let Some((commit, report)) = committing else { return Ok(()) };
    let begun = Instant::now();
    committer.commit(commit).await?;
    metrics.count_commit(begun.elapsed());
    metrics.count_logged(&report.logged, clock.now());
    metrics.records.inc_by(report.records);
    metrics.count_key_mismatches(report.key_mismatches);
    metrics.count_future(&report.future);
    metrics.ledger_overflows.inc_by(report.forgotten);
    report.outcomes.iter().for_each(|(_, outcome)| metrics.count(outcome));
    report.drops.iter().for_each(|(told, told_before)| metrics.count_drop(*told, *told_before));
    source.settled(report.outcomes);
    Ok(())
}
