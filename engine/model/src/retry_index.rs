//! Which retries are due. The compacted retry topic is the truth; an index is
//! made from it by a partition's owner, and made again whenever it was lost.

use crate::dispatch::Retry;
use crate::ports::Error;
use crate::{Partition, WallTime};
use async_trait::async_trait;

/// A partition and the token of its owner: a new one, random or growing, each
/// time the partition is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owned {
    /// The partition.
    pub partition: Partition,
    /// The token.
    pub token: u64,
}

/// Whether the index of a partition is still its owner's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Kept {
    /// It is, and the change is in it.
    Done,
    /// It is not: rebuild it, beginning with `clear`.
    Lost,
}

/// Retries that are due.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// The longest due first, with the times at which they were due.
    pub retries: Vec<Retry>,
    /// Partitions to rebuild; none of their retries are among them.
    pub lost: Vec<Partition>,
}

/// How many retries wait.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waiting {
    /// By channel, in its order.
    pub by_channel: Vec<(String, u64)>,
    /// Partitions to rebuild; their retries are not counted.
    pub lost: Vec<Partition>,
}

/// An index of retries by partition, channel and due time. Every call names
/// the token of the partition's owner and answers when the index is not his:
/// then he empties it, restores it and seeds it.
#[async_trait]
pub trait RetryIndex: Send + Sync {
    /// Adds or moves retries; the partitions that are to be rebuilt.
    ///
    /// # Errors
    /// The index is away: rebuild it.
    async fn put(&self, owned: &[Owned], retries: &[Retry]) -> Result<Vec<Partition>, Error>;

    /// Removes retries; the partitions that are to be rebuilt.
    ///
    /// # Errors
    /// The index is away: rebuild it.
    async fn remove(&self, owned: &[Owned], retries: &[Retry]) -> Result<Vec<Partition>, Error>;

    /// Retries of a channel that are due by now; they are due again at `until`.
    ///
    /// # Errors
    /// The index is away; try again.
    async fn take(
        &self,
        owned: &[Owned],
        channel: &str,
        now: WallTime,
        until: WallTime,
        most: usize,
    ) -> Result<Taken, Error>;

    /// How many wait, by channel.
    ///
    /// # Errors
    /// The index is away; try again.
    async fn waiting(&self, owned: &[Owned]) -> Result<Waiting, Error>;

    /// Empties a partition and begins to rebuild it.
    ///
    /// # Errors
    /// The index is away; clear again.
    async fn clear(&self, owned: Owned) -> Result<(), Error>;

    /// Adds retries to a partition that is being rebuilt.
    ///
    /// # Errors
    /// The index is away; restore again.
    async fn restore(&self, owned: Owned, retries: &[Retry]) -> Result<Kept, Error>;

    /// Ends rebuilding.
    ///
    /// # Errors
    /// The index is away; rebuild again.
    async fn seed(&self, owned: Owned) -> Result<Kept, Error>;
}
