//! Publishes archived records again, each once.
//!
//! A record that is published again has these headers:
//!
//! - `pricedrop.position`: its original position. Ids of notifications are made of it, so they stay
//!   the same.
//! - `pricedrop.replayed`: its position in the archive that was read, and the name given with
//!   `--again`. An interrupted run finds by it what it published already.
//! - `pricedrop.again`: the name given with `--again`. Runs with `--again` skip such records.

use std::collections::BTreeMap;
use std::time::Duration;

use pricedrop_model::Cause;
use pricedrop_model::archive::ArchivedRecord;
use pricedrop_model::ports::Error;
use pricedrop_model::sync::lock;
use pricedrop_model::{Partition, Position};
use rdkafka::ClientContext;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, DeliveryResult, Producer as _, ProducerContext};
use std::sync::{Arc, Mutex};

use crate::client::log_reader::LogReader;
use crate::client::marker_reader::Read;
use crate::client::original_position::{ORIGINAL_POSITION, parse_position};
use crate::client::queries::unavailable;
use crate::client::raw::{BY_KEY, ProducerError, Published, headers_of, publish};
use crate::limits::{ACK_MS, ROOM_POLL_MS};
use crate::settings::Settings;

/// The header with the position of a record in the archive.
const REPLAYED: &str = "pricedrop.replayed";
/// The header that names a run with `--again`.
const AGAIN: &str = "pricedrop.again";
/// Returns whether a record was published by a run with `--again`.
pub fn is_again(record: &ArchivedRecord) -> bool {
    record.headers.iter().any(|header| header.name == AGAIN.as_bytes())
}

/// Formats the value of [`REPLAYED`].
fn replayed(position: Position, again: Option<&str>) -> String {
    let Position { partition, offset } = position;
    match again {
        None => format!("{}/{offset}", partition.0),
        Some(name) => format!("{}/{offset} {name}", partition.0),
    }
}

/// Parses the value of [`REPLAYED`]. `None` means it is of a run under another name.
fn parse_replayed(text: &str, again: Option<&str>) -> Option<Position> {
    let (position, name) = match text.split_once(' ') {
        Some((position, name)) => (position, Some(name)),
        None => (text, None),
    };
    parse_position(position).filter(|_| name == again)
}

/// Archive positions of the records in a topic, stored as ranges because most are consecutive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen(BTreeMap<i32, BTreeMap<i64, i64>>);

impl Seen {
    /// Adds a position.
    pub fn add(&mut self, position: Position) {
        let ranges = self.0.entry(position.partition.0).or_default();
        let offset = position.offset;
        let (mut first, mut last) = (offset, offset);
        if let Some((&start, &end)) = ranges.range(..=offset).next_back() {
            if end >= offset {
                return;
            }
            if end + 1 == offset {
                first = start;
            }
        }
        if let Some(end) = ranges.remove(&(offset + 1)) {
            last = end;
        }
        ranges.insert(first, last);
    }

    /// Returns whether it contains a position.
    pub fn holds(&self, position: Position) -> bool {
        let ranges = self.0.get(&position.partition.0);
        let range = ranges.and_then(|ranges| ranges.range(..=position.offset).next_back());
        range.is_some_and(|(_, end)| *end >= position.offset)
    }

    /// Returns the number of positions.
    pub fn count(&self) -> u64 {
        let ranges = self.0.values().flatten();
        ranges.map(|(first, last)| u64::try_from(last - first + 1).unwrap_or(0)).sum()
    }
}

/// The first error that a delivery report had.
#[derive(Clone, Default)]
struct Deliveries(Arc<Mutex<Option<KafkaError>>>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            lock(&self.0).get_or_insert_with(|| error.clone());
        }
    }
}

/// Publishes records to one topic, in order within each partition.
pub struct Republisher {
    topic: String,
    again: Option<String>,
    partitions: usize,
    producer: BaseProducer<Deliveries>,
    deliveries: Deliveries,
}

impl Republisher {
    /// Creates a publisher to this topic, which must exist.
    ///
    /// # Errors
    /// The cluster does not answer, or the topic is missing.
    pub fn new(settings: &Settings, topic: &str, again: Option<&str>) -> Result<Republisher, Error> {
        let partitions = LogReader::new(settings).partitions(topic)?;
        let deliveries = Deliveries::default();
        let mut config = settings.idempotent();
        // Records without a partition of their own go to the partition that Java clients choose.
        config.set("partitioner", "murmur2_random");
        // If a record fails, no later record of its product may be written before it.
        config.set("enable.gapless.guarantee", "true");
        let producer = config.create_with_context(deliveries.clone());
        let producer = producer.map_err(|error| Error::Fatal(Cause::new("the Kafka producer", error)))?;
        Ok(Republisher {
            topic: topic.to_owned(),
            again: again.map(str::to_owned),
            partitions,
            producer,
            deliveries,
        })
    }

    /// Reads the archive positions of the records in the topic that runs under this name published.
    /// Reads the whole topic.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub fn seen(settings: &Settings, topic: &str, again: Option<&str>) -> Result<Seen, Error> {
        let mut reader = LogReader::new(settings);
        let partitions = reader.partitions(topic)?;
        let all: Vec<(Partition, i64)> =
            (0..partitions as i32).map(|number| (Partition(number), 0)).collect();
        let mut seen = Seen::default();
        reader.read(topic, &all, |message| {
            let headers = headers_of(message).into_iter();
            let value = headers.filter(|header| header.name == REPLAYED.as_bytes()).last();
            let value = value.and_then(|header| header.value);
            let text = value.as_ref().and_then(|value| std::str::from_utf8(value).ok());
            if let Some(position) = text.and_then(|text| parse_replayed(text, again)) {
                seen.add(position);
            }
            Read::On
        })?;
        Ok(seen)
    }

    /// Sends a record from this archive position. It keeps its partition if `keeps_partition` and
    /// the topic has that partition; otherwise its key decides.
    ///
    /// # Errors
    /// The cluster refused this record, or an earlier one.
    pub fn send(&self, from: Position, record: &ArchivedRecord, keeps_partition: bool) -> Result<(), Error> {
        let mine = replayed(from, None);
        let run = replayed(from, self.again.as_deref());
        let kept = record.headers.iter().filter(|header| header.name != REPLAYED.as_bytes());
        let mut headers: Vec<(&[u8], Option<&[u8]>)> =
            kept.map(|header| (&header.name[..], header.value.as_deref())).collect();
        if headers.iter().all(|(name, _)| *name != ORIGINAL_POSITION.as_bytes()) {
            headers.push((ORIGINAL_POSITION.as_bytes(), Some(mine.as_bytes())));
        }
        headers.push((REPLAYED.as_bytes(), Some(run.as_bytes())));
        headers.extend(self.again.as_ref().map(|name| (AGAIN.as_bytes(), Some(name.as_bytes()))));
        let keeps = keeps_partition
            && usize::try_from(from.partition.0).is_ok_and(|partition| partition < self.partitions);
        let published = Published {
            topic: &self.topic,
            partition: if keeps { from.partition.0 } else { BY_KEY },
            timestamp_ms: record.timestamp_ms,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers,
        };
        while !publish(self.producer.client(), &published).map_err(refused)? {
            self.producer.poll(Duration::from_millis(ROOM_POLL_MS));
        }
        self.check()
    }

    /// Returns the partition count of the topic.
    pub fn partitions(&self) -> usize {
        self.partitions
    }

    /// Waits until all records that were sent are acknowledged.
    ///
    /// # Errors
    /// The cluster refused a record, or did not acknowledge all within `ACK_MS`.
    pub fn flush(&self) -> Result<(), Error> {
        self.producer.flush(Duration::from_millis(ACK_MS)).map_err(unavailable)?;
        self.check()
    }

    fn check(&self) -> Result<(), Error> {
        self.producer.poll(Duration::ZERO);
        lock(&self.deliveries.0).clone().map_or(Ok(()), |error| Err(unavailable(error)))
    }
}

fn refused(refusal: ProducerError) -> Error {
    Error::Unavailable(Cause::new("Kafka", refusal))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(partition: i32, offset: i64) -> Position {
        Position { partition: Partition(partition), offset }
    }

    #[test]
    fn positions_are_remembered_in_any_order() {
        let mut seen = Seen::default();
        for offset in [5, 3, 4, 9, 4, 0, 8] {
            seen.add(at(1, offset));
        }
        let held: Vec<i64> = (-1..12).filter(|offset| seen.holds(at(1, *offset))).collect();
        assert_eq!(held, [0, 3, 4, 5, 8, 9]);
        assert_eq!(seen.count(), 6);
        assert!(!seen.holds(at(2, 4)));
    }

    #[test]
    fn records_of_a_replay_are_distinguished_from_those_of_other_producers() {
        let of = |again: Option<&str>| replayed(at(3, 42), again);
        assert_eq!(parse_replayed(&of(None), None), Some(at(3, 42)));
        assert_eq!(parse_replayed(&of(Some("night 1")), Some("night 1")), Some(at(3, 42)));
        for (text, again) in
            [(of(None), Some("night")), (of(Some("night")), None), (of(Some("a")), Some("b"))]
        {
            assert_eq!(parse_replayed(&text, again), None, "{text}");
        }
    }

    #[test]
    fn a_header_that_is_not_a_position_is_ignored() {
        assert_eq!(parse_position("3/42"), Some(at(3, 42)));
        for text in ["", "/", "3", "3/", "-1/2", "3/-1", "3/42/1", "a/b", " 3/42"] {
            assert_eq!(parse_position(text), None, "{text:?}");
        }
    }
}
