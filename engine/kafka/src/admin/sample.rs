//! Samples the newest records of the input, to check that producers key by productId and that their
//! clocks are right.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use pricedrop_model::limits::FUTURE_MS;
use pricedrop_model::ports::Error;
use pricedrop_model::{EventTime, Partition, Position, ProductId, Update};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::client::assign::assign;
use crate::client::log::Logged;
use crate::client::marker_reader::reader;
use crate::client::queries::{partitions_of, unavailable};
use crate::limits::{CALL_MS, EVENT_POLL_MS, SAMPLE_RECORDS};
use crate::settings::Settings;

/// What was found in the newest records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    /// The number of records.
    pub records: u64,
    /// The number of records that are no updates.
    pub unreadable: u64,
    /// The position of one of those, and why it is none.
    pub unreadable_example: Option<(Position, String)>,
    /// The number of updates whose `occurredAt` is more than [`FUTURE_MS`] after the record's
    /// timestamp.
    pub future: u64,
    /// Product, position and `occurredAt` of one of those.
    pub future_example: Option<(ProductId, Position, EventTime)>,
    /// The number of updates whose key is not their productId.
    pub key_mismatches: u64,
    /// Key and productId of one of those.
    pub example: Option<(String, String)>,
    /// A product that was seen in two partitions.
    pub spread: Option<(ProductId, Partition, Partition)>,
    /// The timestamp of the newest record, epoch milliseconds.
    pub newest_ms: Option<i64>,
}

/// Samples the newest records of each partition. Prices are read as the rules say, rounded to
/// `round_decimals`.
///
/// # Errors
/// The cluster does not answer, or the topic is missing.
pub fn sample(settings: &Settings, round_decimals: Option<u8>) -> Result<Sample, Error> {
    let client = reader(settings)?;
    let topic = &settings.topics.prices;
    let partitions = i32::try_from(partitions_of(&client, topic)?).unwrap_or(i32::MAX);
    let mut list = TopicPartitionList::new();
    let mut left = 0;
    for partition in 0..partitions {
        let (low, high) =
            client.fetch_watermarks(topic, partition, Duration::from_millis(CALL_MS)).map_err(unavailable)?;
        let from = low.max(high - SAMPLE_RECORDS);
        left += high - from;
        if high > from {
            list.add_partition_offset(topic, partition, Offset::Offset(from)).map_err(unavailable)?;
        }
    }
    assign(&client, &list).map_err(unavailable)?;
    let mut seen = Seen { round_decimals, ..Seen::default() };
    seen.read(&client, left);
    Ok(seen.sample)
}

#[derive(Default)]
struct Seen {
    round_decimals: Option<u8>,
    sample: Sample,
    products: BTreeMap<ProductId, Partition>,
}

impl Seen {
    /// Reads `left` records, or until no more arrive, because some offsets belong to transaction
    /// markers.
    fn read(&mut self, client: &BaseConsumer<Logged>, mut left: i64) {
        let mut until = Instant::now() + Duration::from_millis(CALL_MS);
        while left > 0 && Instant::now() < until {
            let Some(Ok(message)) = client.poll(Duration::from_millis(EVENT_POLL_MS)) else { continue };
            left -= 1;
            until = Instant::now() + Duration::from_millis(10 * EVENT_POLL_MS);
            self.sample.records += 1;
            self.sample.newest_ms = self.sample.newest_ms.max(message.timestamp().to_millis());
            self.add(&message);
        }
    }

    fn add(&mut self, message: &BorrowedMessage<'_>) {
        let Some(value) = message.payload() else { return };
        let key = message.key();
        let position = Position { partition: Partition(message.partition()), offset: message.offset() };
        let update = match Update::parse(value, self.round_decimals) {
            Ok(update) => update,
            Err(error) => {
                self.sample.unreadable += 1;
                self.sample.unreadable_example = Some((position, error.to_string()));
                return;
            }
        };
        if let (Some(at), Some(timestamp)) = (update.occurred_at, message.timestamp().to_millis())
            && at.0.saturating_sub(timestamp) > FUTURE_MS
        {
            self.sample.future += 1;
            self.sample.future_example = Some((update.product.clone(), position, at));
        }
        let partition = position.partition;
        if key != Some(update.product.as_str().as_bytes()) {
            self.sample.key_mismatches += 1;
            let key = key.map_or("none".into(), |key| String::from_utf8_lossy(key).into_owned());
            self.sample.example = Some((key, update.product.as_str().to_owned()));
        }
        match self.products.get(&update.product) {
            Some(other) if *other != partition => {
                self.sample.spread = Some((update.product, *other, partition));
            }
            _ => drop(self.products.insert(update.product, partition)),
        }
    }
}
