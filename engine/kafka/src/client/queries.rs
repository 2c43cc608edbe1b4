//! Queries to the cluster that several parts of the crate need.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use pricedrop_model::Cause;
use pricedrop_model::Partition;
use pricedrop_model::ports::Error;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use crate::client::log::Logged;
use crate::limits::{CALL_MS, CAUSE_MS, ROOM_POLL_MS};

/// The metadata of offsets that engines commit. Offsets that an operator sets with Kafka's tools
/// have none, or other metadata.
pub const OFFSET_METADATA: &str = "pricedrop";

/// An offset that a group committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupOffset {
    /// The next offset to read.
    pub next: i64,
    /// Whether an engine committed it. Otherwise an operator set it with Kafka's tools.
    pub by_engine: bool,
}

impl GroupOffset {
    /// Returns an offset as an engine commits it.
    pub fn of_engine(next: i64) -> GroupOffset {
        GroupOffset { next, by_engine: true }
    }

    /// Returns the next offsets of partitions as an engine commits them.
    pub fn all_of_engine(next: &[(Partition, i64)]) -> Vec<(Partition, GroupOffset)> {
        next.iter().map(|(partition, next)| (*partition, GroupOffset::of_engine(*next))).collect()
    }
}

/// Reads the committed offsets of the consumer's group; partitions without one are left out. A
/// consumer that reads uncommitted records does not wait for pending transactions.
///
/// # Errors
/// The cluster does not answer.
pub fn committed<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partitions: &[Partition],
) -> Result<BTreeMap<Partition, GroupOffset>, Error> {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition(topic, partition.0);
    }
    let wait = Duration::from_millis(CALL_MS);
    let committed = consumer.committed_offsets(list, wait).map_err(unavailable)?;
    let mut offsets = BTreeMap::new();
    for one in committed.elements() {
        one.error().map_err(unavailable)?;
        if let Offset::Offset(offset) = one.offset() {
            let by_engine = one.metadata() == OFFSET_METADATA;
            offsets.insert(Partition(one.partition()), GroupOffset { next: offset, by_engine });
        }
    }
    Ok(offsets)
}

/// Reads how many partitions a topic has.
///
/// # Errors
/// `Unavailable`: the cluster does not answer, or the topic is missing.
pub fn partitions_of<C: ConsumerContext>(consumer: &BaseConsumer<C>, topic: &str) -> Result<usize, Error> {
    let wait = Duration::from_millis(CALL_MS);
    let metadata = consumer.fetch_metadata(Some(topic), wait).map_err(unavailable)?;
    let found = metadata.topics().iter().find(|one| one.name() == topic);
    match found.map(|one| (one.error(), one.partitions().len())) {
        Some((None, partitions)) if partitions > 0 => Ok(partitions),
        Some((Some(code), _))
            if RDKafkaErrorCode::from(code) != RDKafkaErrorCode::UnknownTopicOrPartition =>
        {
            let code = RDKafkaErrorCode::from(code);
            Err(Error::Unavailable(format!("topic {topic}: {code}").into()))
        }
        _ => Err(Error::Unavailable(
            format!("topic {topic} is missing: make it with `pricedrop topics apply`").into(),
        )),
    }
}

/// Converts an error of librdkafka. Each means that the cluster does not answer as needed.
pub(crate) fn unavailable(error: KafkaError) -> Error {
    Error::Unavailable(Cause::new("Kafka", error))
}

/// Converts an error of a client with its cause. The error alone says only that no broker answers,
/// even if the password or the certificate is wrong.
pub(crate) fn unavailable_because(client: &BaseConsumer<Logged>, error: KafkaError) -> Error {
    let until = Instant::now() + Duration::from_millis(CAUSE_MS);
    // Log lines are delivered while the client is polled.
    while client.context().failed().is_none() && Instant::now() < until {
        let _ = client.poll(Duration::from_millis(ROOM_POLL_MS));
    }
    match client.context().failed().as_ref() {
        Some(why) => Error::Unavailable(Cause::quoting(format!("Kafka: {error}: {why}"), error)),
        None => unavailable(error),
    }
}
