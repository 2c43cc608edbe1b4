//! The partitions of one worker, from assignment to loss.
//!
//! ```text
//!             ┌── refused ──▶ stopped (waits for an operator)
//! assigned ── acquired ─────▶ serving ── rebalance ──▶ lost
//!     ▲      (acquisition.rs)    │                      │
//!     └──────────────────────────┴── assigned again ◀───┘
//! ```
//!
//! Invariant: a partition is served only in the epoch in which it was acquired. If it is revoked
//! and assigned again, it is acquired again.

use std::collections::BTreeMap;

use pricedrop_model::Partition;

use crate::group::group_consumer::PartitionEpoch;

/// A partition that was acquired.
#[derive(Debug)]
pub struct Session<T> {
    /// The epoch of its assignment.
    pub epoch: u64,
    /// The committed offset: that of the next record to read.
    pub next: i64,
    /// What the worker keeps in memory about it.
    pub kept: T,
}

/// The partitions of a worker.
#[derive(Debug)]
pub struct Sessions<T> {
    serving: BTreeMap<Partition, Session<T>>,
    /// Partitions that wait for an operator, with the reason.
    stopped: BTreeMap<Partition, String>,
    /// The rebalance that these sessions belong to; 0 if there was none yet.
    version: u64,
}

impl<T> Default for Sessions<T> {
    fn default() -> Sessions<T> {
        Sessions { serving: BTreeMap::new(), stopped: BTreeMap::new(), version: 0 }
    }
}

impl<T> Sessions<T> {
    /// Returns the rebalance that these sessions belong to.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Notes that all partitions of this rebalance were acquired or stopped.
    pub fn complete(&mut self, version: u64) {
        self.version = version;
    }

    /// Drops the sessions of partitions that are no longer held in their epoch. Returns their
    /// number.
    pub fn drop_lost(&mut self, held: &[PartitionEpoch]) -> usize {
        let before = self.serving.len();
        self.serving.retain(|partition, session| held.contains(&(*partition, session.epoch)));
        before - self.serving.len()
    }

    /// Returns the assigned partitions that are not served yet, and have to be acquired.
    pub fn to_acquire(&self, held: &[PartitionEpoch]) -> Vec<PartitionEpoch> {
        held.iter().filter(|(partition, _)| !self.serving.contains_key(partition)).copied().collect()
    }

    /// Adds the session of a partition that was acquired.
    pub fn serve(&mut self, (partition, epoch): PartitionEpoch, next: i64, kept: T) {
        self.serving.insert(partition, Session { epoch, next, kept });
    }

    /// Replaces the partitions that wait for an operator.
    pub fn stop(&mut self, stopped: BTreeMap<Partition, String>) {
        self.stopped = stopped;
    }

    /// Returns the partitions that wait for an operator, with the reason.
    pub fn stopped(&self) -> &BTreeMap<Partition, String> {
        &self.stopped
    }

    /// Drops all sessions, because it is not known what was committed last.
    pub fn forget(&mut self) {
        self.serving.clear();
    }

    /// Returns the session of a partition that is served.
    pub fn get(&self, partition: Partition) -> Option<&Session<T>> {
        self.serving.get(&partition)
    }

    /// Returns the session of a partition that is served, to change it.
    pub fn get_mut(&mut self, partition: Partition) -> Option<&mut Session<T>> {
        self.serving.get_mut(&partition)
    }

    /// Returns all sessions.
    pub fn iter(&self) -> impl Iterator<Item = (Partition, &Session<T>)> {
        self.serving.iter().map(|(partition, session)| (*partition, session))
    }

    /// Returns all sessions, to change them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Partition, &mut Session<T>)> {
        self.serving.iter_mut().map(|(partition, session)| (*partition, session))
    }

    /// Returns the next offset of every partition that is served.
    pub fn offsets(&self) -> Vec<(Partition, i64)> {
        self.iter().map(|(partition, session)| (partition, session.next)).collect()
    }

    /// Returns the epoch of every partition that is served.
    pub fn epochs(&self) -> BTreeMap<Partition, u64> {
        self.iter().map(|(partition, session)| (partition, session.epoch)).collect()
    }

    /// Returns the epochs of these partitions.
    ///
    /// # Errors
    /// The error is the first of these partitions that is not served.
    pub fn epochs_of(
        &self,
        partitions: impl IntoIterator<Item = Partition>,
    ) -> Result<Vec<PartitionEpoch>, Partition> {
        let epoch =
            |partition| self.get(partition).map(|session| (partition, session.epoch)).ok_or(partition);
        partitions.into_iter().map(epoch).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Partition = Partition(0);
    const SECOND: Partition = Partition(1);

    fn serving(held: &[PartitionEpoch]) -> Sessions<()> {
        let mut sessions = Sessions::default();
        held.iter().for_each(|one| sessions.serve(*one, 7, ()));
        sessions
    }

    #[test]
    fn a_partition_that_was_revoked_and_assigned_again_is_acquired_again() {
        let mut sessions = serving(&[(FIRST, 1), (SECOND, 2)]);
        let held = [(FIRST, 3), (SECOND, 2)];
        assert_eq!(sessions.drop_lost(&held), 1);
        assert_eq!(sessions.to_acquire(&held), [(FIRST, 3)]);
        assert_eq!(sessions.offsets(), [(SECOND, 7)]);
    }

    #[test]
    fn a_commit_that_includes_a_lost_partition_is_refused() {
        let mut sessions = serving(&[(FIRST, 1), (SECOND, 2)]);
        sessions.drop_lost(&[(FIRST, 1)]);
        assert_eq!(sessions.epochs_of([FIRST]), Ok(vec![(FIRST, 1)]));
        assert_eq!(sessions.epochs_of([FIRST, SECOND]), Err(SECOND));
    }
}
