//! The port through which the archiver reads a topic, and the records it reads.

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
    /// Its headers, in order. A name may occur more than once.
    pub headers: Vec<Header>,
}

/// A header of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Its name. Usually UTF-8, but Kafka does not enforce that.
    pub name: Bytes,
    /// Its value.
    pub value: Option<Bytes>,
}

/// One topic, whose partitions are shared among the archivers of a group. All calls may block.
pub trait ArchiveSource: Send {
    /// The topic's name.
    fn topic(&self) -> &str;

    /// Returns the partitions that are assigned to this archiver now. The number with each changes
    /// when the partition is assigned again.
    fn assigned(&mut self) -> Vec<(Partition, u64)>;

    /// Returns the first offset in the topic, and the offset after its last committed record.
    ///
    /// # Errors
    /// The topic cannot be read; try again.
    fn offsets(&mut self, partition: Partition) -> Result<(i64, i64), Error>;

    /// Starts reading these partitions from these offsets, and stops reading all others.
    ///
    /// # Errors
    /// The topic cannot be read; try again.
    fn read_from(&mut self, offsets: &[(Partition, i64)]) -> Result<(), Error>;

    /// Returns the next committed records, in order within a partition; none if `wait_ms`
    /// milliseconds passed without any.
    ///
    /// # Errors
    /// The topic cannot be read: call `read_from` again.
    fn next_batch(&mut self, wait_ms: u64) -> Result<Vec<(Partition, ArchivedRecord)>, Error>;

    /// Returns the offset up to which the partition was read since `read_from`. `next_batch` has
    /// returned every committed record before it; the other offsets before it have no such record.
    /// None if that offset is not known for certain.
    fn passed(&mut self, _partition: Partition) -> Option<i64> {
        None
    }

    /// Returns the id of the topic, which differs from that of a later topic with the same name;
    /// none if topics have no ids.
    ///
    /// # Errors
    /// The topic is missing, or its id cannot be read; try again.
    fn topic_id(&mut self) -> Result<Option<String>, Error> {
        Ok(None)
    }

    /// Returns why this archiver gets no partitions, if it knows.
    fn trouble(&mut self) -> Option<String> {
        None
    }

    /// Reports that records before the offset `next` are archived, so the source need not keep them
    /// for the archiver.
    fn archived(&mut self, _partition: Partition, _next: i64) {}
}
