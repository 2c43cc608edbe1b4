//! Reads topics without a group, up to the last stable offset or up to a marker of this process.
//!
//! A reader that gets its own marker back has read every committed record before it. Watermarks and
//! end-of-partition events do not show that, because for a reader of committed records they mean
//! the last stable offset.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use pricedrop_model::Cause;
use pricedrop_model::Partition;
use pricedrop_model::ports::Error;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::client::assign::assign;
use crate::client::log::Logged;
use crate::client::queries::{partitions_of, unavailable};
use crate::limits::{CALL_MS, EVENT_POLL_MS, TAIL_RECORDS, TAKE_OVER_MS};
use crate::settings::Settings;

/// A record of which only key and value are read.
pub struct LogRecord<'a> {
    /// Its partition.
    pub partition: Partition,
    /// Its offset.
    pub offset: i64,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub value: Option<&'a [u8]>,
}

impl<'a> LogRecord<'a> {
    fn of(message: &'a BorrowedMessage<'_>) -> LogRecord<'a> {
        LogRecord {
            partition: Partition(message.partition()),
            offset: message.offset(),
            key: message.key(),
            value: message.payload(),
        }
    }
}

/// Whether a partition has been read far enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// More of it has to be read.
    On,
    /// Nothing more of it has to be read.
    Done,
}

/// Creates a consumer of committed records without a group, which reports the ends of partitions.
///
/// # Errors
/// `Fatal`: the configuration is invalid.
pub fn reader(settings: &Settings) -> Result<BaseConsumer<Logged>, Error> {
    let mut config = settings.reader();
    config.set("enable.partition.eof", "true").set("auto.offset.reset", "earliest");
    BaseConsumer::from_config_and_context(&config, Logged::default())
        .map_err(|error| Error::Fatal(Cause::new("the Kafka consumer", error)))
}

/// Creates a consumer like [`reader`] that also reads uncommitted records, and sees the committed
/// offsets of this group.
///
/// # Errors
/// `Fatal`: the configuration is invalid.
pub fn reader_of_all(settings: &Settings, group: &str) -> Result<BaseConsumer<Logged>, Error> {
    let mut config = settings.reader();
    config.set("isolation.level", "read_uncommitted").set("group.id", group);
    config.set("enable.partition.eof", "true").set("auto.offset.reset", "earliest");
    BaseConsumer::from_config_and_context(&config, Logged::default())
        .map_err(|error| Error::Fatal(Cause::new("the Kafka consumer", error)))
}

/// Finds the partitions of a topic that have open transactions: their last stable offset is before
/// their end.
///
/// # Errors
/// The cluster does not answer, or the topic is missing.
pub fn open_partitions(
    stable: &BaseConsumer<Logged>,
    all: &BaseConsumer<Logged>,
    topic: &str,
) -> Result<Vec<Partition>, Error> {
    let wait = Duration::from_millis(CALL_MS);
    let mut open = Vec::new();
    for partition in 0..partitions_of(all, topic)? as i32 {
        let (_, decided) = stable.fetch_watermarks(topic, partition, wait).map_err(unavailable)?;
        let (_, end) = all.fetch_watermarks(topic, partition, wait).map_err(unavailable)?;
        if decided < end {
            open.push(Partition(partition));
        }
    }
    Ok(open)
}

/// Reads these partitions from their beginnings until `see` returns `Done` for each. Stops early if
/// `wanted` returns an error.
///
/// # Errors
/// The cluster does not answer, nothing arrived for `TAKE_OVER_MS`, or `see` or `wanted` returned
/// an error.
pub fn read_to_markers(
    consumer: &BaseConsumer<Logged>,
    topic: &str,
    partitions: &[Partition],
    wanted: impl Fn() -> Result<(), Error>,
    mut see: impl FnMut(LogRecord<'_>) -> Result<Read, Error>,
) -> Result<(), Error> {
    let patience = Duration::from_millis(TAKE_OVER_MS);
    read(consumer, topic, &from_the_beginning(partitions), (Read::On, patience), wanted, |message| {
        see(LogRecord::of(message))
    })
}

/// Reads these partitions from their beginnings up to the current last stable offset.
///
/// # Errors
/// The cluster does not answer, or `see` returned an error.
pub fn read_stable(
    consumer: &BaseConsumer<Logged>,
    topic: &str,
    partitions: &[Partition],
    mut see: impl FnMut(LogRecord<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    read_to_ends(consumer, topic, &from_the_beginning(partitions), |message| {
        see(LogRecord::of(message)).map(|()| Read::On)
    })
}

/// Finds the last record of each of these partitions that `pick` accepts, up to the end that this
/// consumer sees now. A partition is read from its beginning only if there is none among its last
/// `TAIL_RECORDS` offsets.
///
/// # Errors
/// The cluster does not answer.
pub fn last_of_each<T>(
    consumer: &BaseConsumer<Logged>,
    topic: &str,
    partitions: &[Partition],
    pick: impl Fn(&LogRecord<'_>) -> Option<T>,
) -> Result<BTreeMap<Partition, T>, Error> {
    let mut found = BTreeMap::new();
    let mut near_the_end = Vec::new();
    for partition in partitions {
        let wait = Duration::from_millis(CALL_MS);
        let (first, end) = consumer.fetch_watermarks(topic, partition.0, wait).map_err(unavailable)?;
        near_the_end.push((*partition, first.max(end - TAIL_RECORDS)));
    }
    let mut from = near_the_end;
    for _ in 0..2 {
        read_to_ends(consumer, topic, &from, |message| {
            let line = LogRecord::of(message);
            found.extend(pick(&line).map(|picked| (line.partition, picked)));
            Ok(Read::On)
        })?;
        from.retain(|(partition, offset)| *offset > 0 && !found.contains_key(partition));
        from.iter_mut().for_each(|(_, offset)| *offset = 0);
    }
    Ok(found)
}

/// Reads these partitions from these offsets, or the first offset that is kept, up to the end that
/// this consumer sees now, or until `see` returns `Done`.
///
/// # Errors
/// The cluster does not answer, or `see` returned an error.
pub fn read_to_ends(
    consumer: &BaseConsumer<Logged>,
    topic: &str,
    from: &[(Partition, i64)],
    see: impl FnMut(&BorrowedMessage<'_>) -> Result<Read, Error>,
) -> Result<(), Error> {
    read(consumer, topic, from, (Read::Done, Duration::from_millis(CALL_MS)), || Ok(()), see)
}

fn from_the_beginning(partitions: &[Partition]) -> Vec<(Partition, i64)> {
    partitions.iter().map(|partition| (*partition, 0)).collect()
}

/// Reads partitions until `see` returns `Done` for each, or, if `at_end` is `Done`, until its end.
/// Fails if nothing arrives for the time `patience`.
fn read(
    consumer: &BaseConsumer<Logged>,
    topic: &str,
    from: &[(Partition, i64)],
    (at_end, patience): (Read, Duration),
    wanted: impl Fn() -> Result<(), Error>,
    mut see: impl FnMut(&BorrowedMessage<'_>) -> Result<Read, Error>,
) -> Result<(), Error> {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in from {
        list.add_partition_offset(topic, partition.0, Offset::Offset(*offset)).map_err(unavailable)?;
    }
    assign(consumer, &list).map_err(unavailable)?;
    let mut open: Vec<i32> = from.iter().map(|(partition, _)| partition.0).collect();
    let mut until = Instant::now() + patience;
    let mut trouble = None;
    while !open.is_empty() {
        wanted()?;
        let (partition, read) = match consumer.poll(Duration::from_millis(EVENT_POLL_MS)) {
            Some(Ok(message)) if open.contains(&message.partition()) => {
                until = Instant::now() + patience;
                (message.partition(), see(&message)?)
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => (partition, at_end),
            Some(Err(error)) if passes_over(&error) => {
                return Err(Error::Unavailable(Cause::new(
                    format!("{topic}: records cannot be read"),
                    error,
                )));
            }
            Some(Err(error)) => {
                trouble = Some(error);
                (NONE, Read::On)
            }
            Some(Ok(_)) | None => (NONE, Read::On),
        };
        if read == Read::Done {
            until = Instant::now() + patience;
            open.retain(|one| *one != partition);
        }
        if Instant::now() >= until {
            let why = trouble.map_or_else(String::new, |error| format!(": {error}"));
            let patience_ms = patience.as_millis();
            return Err(Error::Unavailable(
                format!(
                    "{topic}: partitions {open:?} were not read as far as they must be: nothing came for \
                 {patience_ms} ms{why}"
                )
                .into(),
            ));
        }
    }
    consumer.unassign().map_err(unavailable)
}

/// Returns whether librdkafka continues past records that it did not return.
fn passes_over(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{BadMessage, NotImplemented};
    matches!(error, KafkaError::MessageConsumption(BadMessage | NotImplemented))
}

/// No partition.
const NONE: i32 = -1;
