//! The port for an index of due retries, such as one in Redis. The compacted retry topic is the
//! source of truth: the owner of a partition builds the index from it, and builds it again whenever
//! the index is lost.

use crate::dispatch::Retry;
use crate::ports::Error;
use crate::{Partition, WallTime};
use async_trait::async_trait;

/// A partition and the token of its owner. The token is new each time the partition is acquired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owned {
    /// The partition.
    pub partition: Partition,
    /// The token.
    pub token: u64,
}

/// Whether the index of a partition still belongs to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Kept {
    /// It does, and the change was made.
    Done,
    /// It does not: rebuild it, beginning with `clear`.
    Lost,
}

/// Retries that are due.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// The longest due first. `due` is the time at which each was due before the call.
    pub retries: Vec<Retry>,
    /// Partitions whose index must be rebuilt. None of their retries are returned.
    pub lost: Vec<Partition>,
}

/// How many retries are waiting.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waiting {
    /// The number by channel, ordered by channel.
    pub by_channel: Vec<(String, u64)>,
    /// Partitions whose index must be rebuilt. Their retries are not counted.
    pub lost: Vec<Partition>,
}

/// An index of retries by partition, channel and due time. Every call passes the token of the
/// partition's owner, and reports the partition as lost if the index does not belong to that token.
/// Then the owner rebuilds it: `clear`, `restore` as often as needed, `seed`.
#[async_trait]
pub trait RetryIndex: Send + Sync {
    /// Adds retries, or changes those with the same key. Returns the partitions to rebuild.
    ///
    /// # Errors
    /// The index is unavailable: rebuild it.
    async fn put(&self, owned: &[Owned], retries: &[Retry]) -> Result<Vec<Partition>, Error>;

    /// Removes retries. Returns the partitions to rebuild.
    ///
    /// # Errors
    /// The index is unavailable: rebuild it.
    async fn remove(&self, owned: &[Owned], retries: &[Retry]) -> Result<Vec<Partition>, Error>;

    /// Returns at most `most` retries of a channel that are due at `now`, and postpones them to
    /// `until`.
    ///
    /// # Errors
    /// The index is unavailable; try again.
    async fn take(
        &self,
        owned: &[Owned],
        channel: &str,
        now: WallTime,
        until: WallTime,
        most: usize,
    ) -> Result<Taken, Error>;

    /// Counts the waiting retries by channel.
    ///
    /// # Errors
    /// The index is unavailable; try again.
    async fn waiting(&self, owned: &[Owned]) -> Result<Waiting, Error>;

    /// Empties the index of a partition and begins to rebuild it.
    ///
    /// # Errors
    /// The index is unavailable; clear again.
    async fn clear(&self, owned: Owned) -> Result<(), Error>;

    /// Adds retries to a partition that is being rebuilt.
    ///
    /// # Errors
    /// The index is unavailable; restore again.
    async fn restore(&self, owned: Owned, retries: &[Retry]) -> Result<Kept, Error>;

    /// Ends the rebuilding. From here on the index is complete.
    ///
    /// # Errors
    /// The index is unavailable; rebuild again.
    async fn seed(&self, owned: Owned) -> Result<Kept, Error>;
}
