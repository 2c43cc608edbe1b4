//! Reads a topic for the archiver.
//!
//! The group only distributes the partitions. A consumer without a group reads them, because the
//! archive stores where each partition continues, and no offset is committed.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pricedrop_model::Cause;
use pricedrop_model::Partition;
use pricedrop_model::archive::{ArchiveSource, ArchivedRecord};
use pricedrop_model::ports::Error;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::admin::rights;
use crate::client::assign::assign;
use crate::client::log::Logged;
use crate::client::marker_reader::reader;
use crate::client::queries::{partitions_of, unavailable, unavailable_because};
use crate::client::raw::headers_of;
use crate::group::group_consumer::GroupConsumer;
use crate::limits::{ARCHIVE_BATCH, ARCHIVE_BATCH_BYTES, CALL_MS};
use crate::settings::Settings;

/// Reads the first offset that a partition still has.
///
/// # Errors
/// The cluster does not answer; the topic or the partition is missing.
pub fn first_offset(settings: &Settings, topic: &str, partition: Partition) -> Result<i64, Error> {
    let client = reader(settings)?;
    let partitions = partitions_of(&client, topic)?;
    if usize::try_from(partition.0).is_ok_and(|number| number < partitions) {
        let asked = client.fetch_watermarks(topic, partition.0, Duration::from_millis(CALL_MS));
        return asked.map(|(first, _)| first).map_err(unavailable);
    }
    Err(Error::Fatal(
        format!("topic {topic} has the partitions 0 to {}, not {}", partitions - 1, partition.0).into(),
    ))
}

/// One topic, whose partitions are distributed among the archivers of a group.
pub struct KafkaArchiveSource {
    topic: String,
    member: GroupConsumer,
    group: String,
    /// The last error that librdkafka reported since the assignment was last known.
    trouble: Option<String>,
    consumer: BaseConsumer<Logged>,
    /// Partitions that were read to their end since `read_from`.
    ended: BTreeSet<Partition>,
    /// An error that occurred after records which are returned first.
    failed: Option<Error>,
}

impl KafkaArchiveSource {
    /// Joins the group of the archivers for this topic.
    ///
    /// # Errors
    /// `Fatal`: the configuration is invalid.
    pub fn join(settings: &Settings, topic: &str) -> Result<KafkaArchiveSource, Error> {
        let group = settings.archiver_group();
        let member = GroupConsumer::join(settings, &group, topic)?;
        let mut config = settings.reader();
        config.set("enable.partition.eof", "true");
        let consumer = BaseConsumer::from_config_and_context(&config, Logged::default())
            .map_err(|error| Error::Fatal(Cause::new("the Kafka consumer", error)))?;
        let (ended, topic) = (BTreeSet::new(), topic.to_owned());
        Ok(KafkaArchiveSource { topic, member, group, trouble: None, consumer, ended, failed: None })
    }

    /// Returns the next record, if one arrives within this time.
    fn next(&mut self, wait: Duration) -> Result<Option<(Partition, ArchivedRecord)>, Error> {
        let until = Instant::now() + wait;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.consumer.poll(left) {
                Some(Ok(message)) => return Ok(Some(record_of(&message))),
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    self.ended.insert(Partition(partition));
                }
                Some(Err(error)) if stops_reading(&error) => {
                    return Err(Error::Unavailable(Cause::new(&self.topic, error)));
                }
                // After other errors librdkafka retries on its own.
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
        asked.map_err(|error| unavailable_because(&self.consumer, error))
    }

    fn read_from(&mut self, offsets: &[(Partition, i64)]) -> Result<(), Error> {
        self.failed = None;
        self.ended.clear();
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets {
            list.add_partition_offset(&self.topic, partition.0, Offset::Offset(*offset))
                .map_err(unavailable)?;
        }
        assign(&self.consumer, &list).map_err(unavailable)
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

    /// Returns librdkafka's position, which also advances past transaction markers, in order with
    /// the records. Returns none until the partition was read to its end since `read_from`, so that
    /// a position from before `read_from` is never returned.
    fn passed(&mut self, partition: Partition) -> Option<i64> {
        if !self.ended.contains(&partition) {
            return None;
        }
        let positions = self.consumer.position().ok()?;
        match positions.find_partition(&self.topic, partition.0)?.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        }
    }

    fn topic_id(&mut self) -> Result<Option<String>, Error> {
        rights::topic_id(&self.consumer, &self.topic)
    }

    fn trouble(&mut self) -> Option<String> {
        self.trouble = self.member.trouble().or(self.trouble.take());
        if self.member.assignment_is_ready(self.member.version()) {
            self.trouble = None;
        }
        let said = self.trouble.as_ref()?;
        let (topic, group) = (&self.topic, &self.group);
        Some(format!("{topic}: the archiver is not yet a member of the group {group} in Kafka: {said}"))
    }
}

/// Returns whether librdkafka stops reading after this error, or skips records.
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rdkafka::mocking::MockCluster;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    #[test]
    fn a_group_that_may_not_be_joined_is_reported_until_it_may() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("topic", 1, 1).unwrap();
        let denied = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED; 1_000];
        cluster.request_errors(RDKafkaApiKey::JoinGroup, &denied);
        let settings = Settings::new(&cluster.bootstrap_servers());
        let mut source = KafkaArchiveSource::join(&settings, "topic").unwrap();
        let until = Instant::now() + PATIENCE;
        while source.trouble().is_none() {
            assert!(Instant::now() < until, "nothing was said");
            std::thread::yield_now();
        }
        // librdkafka reports the same error in several places, with different texts.
        let lasts = Instant::now() + Duration::from_millis(200);
        while Instant::now() < lasts {
            let said = source.trouble().expect("it is said as long as it lasts");
            let words = "topic: the archiver is not yet a member of the group pricedrop.archiver in Kafka: ";
            assert!(said.starts_with(words) && said.contains("Group authorization failed"), "{said}");
            std::thread::yield_now();
        }
        cluster.clear_request_errors(RDKafkaApiKey::JoinGroup);
        while source.assigned().is_empty() || source.trouble().is_some() {
            assert!(Instant::now() < until, "{:?}", source.trouble());
            std::thread::yield_now();
        }
    }
}
