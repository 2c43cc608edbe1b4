//! `pricedrop offsets set`: sets where a partition continues whose offset and states disagree.
//! The next acquisition of the partition reads it.

use std::time::Duration;

use pricedrop_model::Cause;
use pricedrop_model::Partition;
use pricedrop_model::ports::Error;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use crate::client::log::Logged;
use crate::client::queries::{partitions_of, unavailable};
use crate::client::raw::{ProducerError, RawProducer, Records, Value};
use crate::limits::CALL_MS;
use crate::notifier::changelog::ACCEPTED;
use crate::settings::Settings;

/// Where a partition continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// At the group's offset, or at the nearest end of the log if the log does not have it.
    Committed,
    /// At the first record of the log.
    Earliest,
    /// After the last record of the log.
    Latest,
    /// At this offset.
    Offset(i64),
}

/// Accepts an offset for each of these partitions, or for all. Returns the offsets.
///
/// # Errors
/// The cluster does not answer, or there is no such partition or offset.
pub fn accept(
    settings: &Settings,
    partitions: Option<Vec<Partition>>,
    accepted: Accepted,
) -> Result<Vec<(Partition, i64)>, Error> {
    let topic = &settings.topics.prices;
    let mut config = settings.reader();
    config.set("group.id", &settings.group);
    let consumer = BaseConsumer::from_config_and_context(&config, Logged::default()).map_err(unavailable)?;
    let there = partitions_of(&consumer, topic)?;
    let partitions = partitions.unwrap_or_else(|| (0..there).map(|one| Partition(one as i32)).collect());
    let wait = Duration::from_millis(CALL_MS);
    let mut list = TopicPartitionList::new();
    for partition in &partitions {
        if partition.0 < 0 || partition.0 as usize >= there {
            return Err(Error::Fatal(
                format!("{topic} has partitions 0 to {}, not {}", there - 1, partition.0).into(),
            ));
        }
        list.add_partition(topic, partition.0);
    }
    let committed = consumer.committed_offsets(list, wait).map_err(unavailable)?;
    let mut next = Vec::new();
    for partition in partitions {
        let (low, high) = consumer.fetch_watermarks(topic, partition.0, wait).map_err(unavailable)?;
        let group = match committed.find_partition(topic, partition.0).map(|one| one.offset()) {
            Some(Offset::Offset(offset)) => offset,
            _ => low,
        };
        let offset = match accepted {
            Accepted::Committed => group.clamp(low, high),
            Accepted::Earliest => low,
            Accepted::Latest => high,
            Accepted::Offset(offset) => offset,
        };
        if offset < low || offset > high {
            return Err(Error::Fatal(
                format!(
                    "{topic}[{}] has records from {low} to {high}: {offset} is none of them",
                    partition.0
                )
                .into(),
            ));
        }
        next.push((partition, offset));
    }
    write(settings, &next).map_err(|refusal| Error::Unavailable(Cause::new("Kafka", refusal)))?;
    Ok(next)
}

fn write(settings: &Settings, offsets: &[(Partition, i64)]) -> Result<(), ProducerError> {
    let producer = RawProducer::new(&settings.idempotent())?;
    let mut records = Records::default();
    for (partition, offset) in offsets {
        records.push(partition.0, ACCEPTED, |out| {
            out.extend_from_slice(&offset.to_be_bytes());
            Value::Written
        });
    }
    producer.send(&settings.topics.state, &mut records)?;
    producer.flush(Duration::from_millis(CALL_MS))
}
