//! A topic as the archiver reads it.
//!
//! The group only shares the partitions out. They are read by a consumer without a
//! group, because the archive says where each is read on, and no offset is committed.

use std::time::{Duration, Instant};

use bytes::Bytes;
use pricedrop_model::Partition;
use pricedrop_model::archive::{ArchiveSource, ArchivedRecord};
use pricedrop_model::seams::Error;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::client::assign::assign;
use crate::client::log::Logged;
use crate::client::marker_reader::reader;
use crate::client::queries::{away, away_because, partitions_of};
use crate::client::raw::headers_of;
use crate::group::group_consumer::Member;
use crate::limits::{ARCHIVE_BATCH, ARCHIVE_BATCH_BYTES, CALL_MS};
use crate::settings::Settings;

/// The group of the archivers.
pub(crate) fn group(settings: &Settings) -> String {
    format!("{}.archiver", settings.group)
}

/// The first offset that a partition still holds.
///
/// # Errors
/// The cluster is away, or the topic is missing.
pub fn first_offset(settings: &Settings, topic: &str, partition: Partition) -> Result<i64, Error> {
    let client = reader(settings)?;
    let partitions = partitions_of(&client, topic)?;
    if usize::try_from(partition.0).is_ok_and(|number| number < partitions) {
        let asked = client.fetch_watermarks(topic, partition.0, Duration::from_millis(CALL_MS));
        return asked.map(|(first, _)| first).map_err(away);
    }
    Err(Error::Broken(format!(
        "topic {topic} has the partitions 0 to {}, not {}",
        partitions - 1,
        partition.0
    )))
}

/// One topic, shared among the archivers of a group.
pub struct KafkaArchiveSource {
    topic: String,
    member: Member,
    consumer: BaseConsumer<Logged>,
    /// An error that came after records which were handed out first.
    failed: Option<Error>,
}

impl KafkaArchiveSource {
    /// Joins the archivers' group for this topic.
    ///
    /// # Errors
    /// The configuration is refused.
    pub fn join(settings: &Settings, topic: &str) -> Result<KafkaArchiveSource, Error> {
        let member = Member::join(settings, &group(settings), topic)?;
        let consumer = BaseConsumer::from_config_and_context(&settings.reader(), Logged::default())
            .map_err(|error| Error::Broken(format!("the Kafka consumer: {error}")))?;
        Ok(KafkaArchiveSource { topic: topic.to_owned(), member, consumer, failed: None })
    }

    /// The next record, if it comes in time.
    fn next(&self, wait: Duration) -> Result<Option<(Partition, ArchivedRecord)>, Error> {
        let until = Instant::now() + wait;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.consumer.poll(left) {
                Some(Ok(message)) => return Ok(Some(record_of(&message))),
                Some(Err(error)) if stops_reading(&error) => {
                    return Err(Error::Unavailable(format!("{}: {error}", self.topic)));
                }
                // The client tries the others again by itself.
                Some(Err(error)) => tracing::debug!(topic = self.topic, %error, "reading for the archive"),
                None => return Ok(None),
            }
        }
    }
}

impl ArchiveSource for KafkaArchiveSource {
    fn topic(&self) -> &str {
        &self.topic
    }

    fn assigned(&mut self) -> Vec<(Partition, u64)> {
        self.member.held()
    }

    fn offsets(&mut self, partition: Partition) -> Result<(i64, i64), Error> {
        let wait = Duration::from_millis(CALL_MS);
        let asked = self.consumer.fetch_watermarks(&self.topic, partition.0, wait);
        asked.map_err(|error| away_because(&self.consumer, error))
    }

    fn read_from(&mut self, offsets: &[(Partition, i64)]) -> Result<(), Error> {
        self.failed = None;
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets {
            list.add_partition_offset(&self.topic, partition.0, Offset::Offset(*offset)).map_err(away)?;
        }
        assign(&self.consumer, &list).map_err(away)
    }

    fn next_batch(&mut self, wait_ms: u64) -> Result<Vec<(Partition, ArchivedRecord)>, Error> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let (mut records, mut bytes, mut wait) = (Vec::new(), 0, Duration::from_millis(wait_ms));
        while records.len() < ARCHIVE_BATCH && bytes < ARCHIVE_BATCH_BYTES {
            match self.next(wait) {
                Ok(Some((partition, record))) => {
                    bytes += record.value.as_ref().map_or(0, Bytes::len);
                    records.push((partition, record));
                }
                Ok(None) => break,
                Err(error) if records.is_empty() => return Err(error),
                Err(error) => {
                    self.failed = Some(error);
                    break;
                }
            }
            wait = Duration::ZERO;
        }
        Ok(records)
    }
}

/// Whether this error ends reading, or skips records.
fn stops_reading(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{
        AutoOffsetReset, BadMessage, NotImplemented, OffsetOutOfRange, TopicAuthorizationFailed,
    };
    let code = error.rdkafka_error_code();
    code.is_some_and(|code| {
        matches!(
            code,
            AutoOffsetReset | BadMessage | NotImplemented | OffsetOutOfRange | TopicAuthorizationFailed
        )
    })
}

fn record_of(message: &BorrowedMessage<'_>) -> (Partition, ArchivedRecord) {
    let bytes = |bytes: Option<&[u8]>| bytes.map(Bytes::copy_from_slice);
    let record = ArchivedRecord {
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis().unwrap_or(0),
        key: bytes(message.key()),
        value: bytes(message.payload()),
        headers: headers_of(message),
    };
    (Partition(message.partition()), record)
}
