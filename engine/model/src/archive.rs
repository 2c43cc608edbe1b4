//! What the archiver reads: topics, partition by partition.

use bytes::Bytes;

use crate::Partition;
use crate::ports::Error;

/// A record of a topic, as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivedRecord {
    /// Its offset.
    pub offset: i64,
    /// Its timestamp, epoch milliseconds.
    pub timestamp_ms: i64,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value; none is a tombstone.
    pub value: Option<Bytes>,
    /// Its headers, in order; a name may come several times.
    pub headers: Vec<Header>,
}

/// A header of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Its name: UTF-8, unless its producer does not care.
    pub name: Bytes,
    /// Its value.
    pub value: Option<Bytes>,
}

/// One topic, shared among the archivers of a group. All calls may block.
pub trait ArchiveSource: Send {
    /// The topic's name.
    fn topic(&self) -> &str;

    /// The partitions that are this archiver's now, with a number that changes when a
    /// partition is assigned anew.
    fn assigned(&mut self) -> Vec<(Partition, u64)>;

    /// The first offset that the topic still holds, and the one after its last
    /// committed record.
    ///
    /// # Errors
    /// The topic cannot be read; try again.
    fn offsets(&mut self, partition: Partition) -> Result<(i64, i64), Error>;

    /// Reads these partitions from these offsets, and no others.
    ///
    /// # Errors
    /// The topic cannot be read; try again.
    fn read_from(&mut self, offsets: &[(Partition, i64)]) -> Result<(), Error>;

    /// The next committed records, in order within a partition; none if there were none
    /// for `wait_ms`.
    ///
    /// # Errors
    /// The topic cannot be read: call `read_from` again.
    fn next_batch(&mut self, wait_ms: u64) -> Result<Vec<(Partition, ArchivedRecord)>, Error>;

    /// The offset up to which the partition was read since `read_from`: every committed
    /// record before it was handed out by `next_batch`, and what else lies there holds
    /// none. None where that is not known for certain.
    fn passed(&mut self, _partition: Partition) -> Option<i64> {
        None
    }

    /// Tells the topic from another one that has its name later; none: it has no id.
    ///
    /// # Errors
    /// The topic is missing or cannot be asked; try again.
    fn topic_id(&mut self) -> Result<Option<String>, Error> {
        Ok(None)
    }

    /// Why this archiver gets no partitions, where that is known.
    fn trouble(&mut self) -> Option<String> {
        None
    }

    /// Records before these offsets are in the archive: they are not needed for it any
    /// longer.
    fn archived(&mut self, _partition: Partition, _next: i64) {}
}
