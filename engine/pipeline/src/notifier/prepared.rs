//! A batch between its decision and its commit.

use std::time::Instant;

use pricedrop_model::ports::{Commit, Committer, Outcome, UpdateSource};
use pricedrop_model::{Clock, EventTime, Position};

use super::error::Failure;
use super::input_progress::Before;
use super::intake::Incoming;
use super::metrics::Metrics;
use super::throttle::FailOpen;

/// A batch that is decided and not committed.
pub struct Prepared {
    /// To be made true.
    pub commit: Commit,
    /// To be told afterwards.
    pub news: News,
    /// If it is not committed.
    pub back: Back,
}

/// What is told of a batch once it is committed.
pub struct News {
    /// Records taken.
    pub records: u64,
    /// Updates whose key was not their product.
    pub key_mismatches: u64,
    /// When its records entered the log.
    pub logged: Vec<EventTime>,
    /// What became of records.
    pub outcomes: Vec<(Position, Outcome)>,
    /// Of each drop that is through: users told, and whether the price was told before.
    pub drops: Vec<(u64, bool)>,
    /// Told prices that left a full ledger before their window ended.
    pub forgotten: u64,
}

/// What takes a batch back that was not committed.
pub struct Back {
    /// Its records.
    pub taken: Vec<Incoming>,
    /// The progress before it.
    pub before: Before,
    /// The cap on what passes without the throttle, before it.
    pub fail_open: FailOpen,
}

impl Prepared {
    /// What is committed, and what is kept meanwhile.
    pub fn split(self) -> ((Commit, News), Back) {
        ((self.commit, self.news), self.back)
    }
}

/// Commits a batch and tells what became of it, at once: others may still be
/// deciding.
pub async fn commit(
    committer: &mut dyn Committer,
    source: &mut dyn UpdateSource,
    (metrics, clock): (&Metrics, &dyn Clock),
    landing: Option<(Commit, News)>,
) -> Result<(), Failure> {
    let Some((commit, news)) = landing else { return Ok(()) };
    let begun = Instant::now();
    committer.commit(commit).await?;
    metrics.count_commit(begun.elapsed());
    metrics.count_logged(&news.logged, clock.now());
    metrics.records.inc_by(news.records);
    metrics.count_key_mismatches(news.key_mismatches);
    metrics.ledger_overflows.inc_by(news.forgotten);
    news.outcomes.iter().for_each(|(_, outcome)| metrics.count(outcome));
    news.drops.iter().for_each(|(told, told_before)| metrics.count_drop(*told, *told_before));
    source.settled(news.outcomes);
    Ok(())
}
