//! Reads a compacted topic up to a marker: everything before it is decided
//! and seen. Watermarks and ends of partitions would not do: to a reader of
//! committed records they mean the last stable offset.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use pricedrop_model::Partition;
use pricedrop_model::seams::Error;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Message, Offset, TopicPartitionList};

use super::limits::{CALL_MS, EVENT_POLL_MS, TAKE_OVER_MS};
use super::log::Logged;
use super::member::away;
use super::settings::Settings;

/// A record of such a topic.
pub struct Logline<'a> {
    /// Its partition.
    pub partition: Partition,
    /// Its offset.
    pub offset: i64,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub value: Option<&'a [u8]>,
}

/// Whether a partition is read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// There is more to come.
    On,
    /// This was the marker.
    Done,
}

/// A consumer without a group.
///
/// # Errors
/// The configuration is refused.
pub fn reader(settings: &Settings) -> Result<BaseConsumer<Logged>, Error> {
    BaseConsumer::from_config_and_context(&settings.reader(), Logged)
        .map_err(|error| Error::Broken(format!("the Kafka consumer: {error}")))
}

/// Reads these partitions from their beginnings until `see` has said of each
/// that it is done.
///
/// # Errors
/// The cluster is away, a marker did not come in time, or `see` refused.
pub fn read_to_markers(
    consumer: &BaseConsumer<Logged>,
    topic: &str,
    partitions: &[Partition],
    mut see: impl FnMut(Logline<'_>) -> Result<Read, Error>,
) -> Result<(), Error> {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition_offset(topic, partition.0, Offset::Beginning).map_err(away)?;
    }
    consumer.assign(&list).map_err(away)?;
    let mut open: Vec<Partition> = partitions.to_vec();
    let mut until = Instant::now() + Duration::from_millis(TAKE_OVER_MS);
    while !open.is_empty() {
        match consumer.poll(Duration::from_millis(EVENT_POLL_MS)) {
            Some(Ok(message)) => {
                let partition = Partition(message.partition());
                if !open.contains(&partition) {
                    continue;
                }
                until = Instant::now() + Duration::from_millis(TAKE_OVER_MS);
                let line = Logline {
                    partition,
                    offset: message.offset(),
                    key: message.key(),
                    value: message.payload(),
                };
                if see(line)? == Read::Done {
                    open.retain(|one| *one != partition);
                }
            }
            Some(Err(error)) => tracing::debug!(%error, topic, "reading a marked log"),
            None => {}
        }
        if Instant::now() >= until {
            return Err(Error::Unavailable(format!(
                "{topic}: partitions {open:?} were not read up to our own record within {TAKE_OVER_MS} ms"
            )));
        }
    }
    consumer.unassign().map_err(away)
}

/// Reads what is stable now in these partitions, and no further.
///
/// # Errors
/// The cluster is away, or `see` refused.
pub fn read_stable(
    consumer: &BaseConsumer<Logged>,
    topic: &str,
    partitions: &[Partition],
    mut see: impl FnMut(Logline<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let wait = Duration::from_millis(CALL_MS);
    let mut ends = BTreeMap::new();
    for partition in partitions {
        let (low, stable) = consumer.fetch_watermarks(topic, partition.0, wait).map_err(away)?;
        if stable > low {
            ends.insert(*partition, stable);
        }
    }
    let open: Vec<Partition> = ends.keys().copied().collect();
    let mut idle = Instant::now();
    let mut list = TopicPartitionList::new();
    for partition in &open {
        list.add_partition_offset(topic, partition.0, Offset::Beginning).map_err(away)?;
    }
    consumer.assign(&list).map_err(away)?;
    while !ends.is_empty() {
        let said = consumer.poll(Duration::from_millis(EVENT_POLL_MS));
        if let Some(Ok(message)) = &said {
            idle = Instant::now();
            let partition = Partition(message.partition());
            let (offset, key, value) = (message.offset(), message.key(), message.payload());
            if ends.get(&partition).is_some_and(|end| offset < *end) {
                see(Logline { partition, offset, key, value })?;
            }
        }
        // The last offsets may be markers of transactions, which nobody hands out.
        let at = consumer.position().map_err(away)?;
        ends.retain(|partition, end| match at.find_partition(topic, partition.0).map(|one| one.offset()) {
            Some(Offset::Offset(next)) => next < *end,
            _ => true,
        });
        if said.is_none() && idle.elapsed() >= Duration::from_millis(QUIET_MS) {
            break;
        }
        if idle.elapsed() >= Duration::from_millis(TAKE_OVER_MS) {
            return Err(Error::Unavailable(format!(
                "{topic}: partitions {open:?} were not read to their end"
            )));
        }
    }
    consumer.unassign().map_err(away)
}

/// Nothing came for so long: what is left are markers of transactions.
const QUIET_MS: u64 = 2_000;
