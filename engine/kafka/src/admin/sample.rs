//! Samples the newest records of the input, to check that producers key by productId and that their
//! clocks are right.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use pricedrop_model::ports::Error;
use pricedrop_model::{Partition, ProductId, Update};
use rdkafka::consumer::{BaseConsumer, Consumer};
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
    /// The number of updates whose key is not their productId.
    pub key_mismatches: u64,
    /// Key and productId of one of those.
    pub example: Option<(String, String)>,
    /// A product that was seen in two partitions.
    pub spread: Option<(ProductId, Partition, Partition)>,
    /// The timestamp of the newest record, epoch milliseconds.
    pub newest_ms: Option<i64>,
}

/// Samples the newest records of each partition.
///
/// # Errors
/// The cluster does not answer, or the topic is missing.
pub fn sample(settings: &Settings) -> Result<Sample, Error> {
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
    let mut seen = Seen::default();
    seen.read(&client, left);
    Ok(seen.sample)
}

#[derive(Default)]
struct Seen {
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
            self.look(Partition(message.partition()), message.key(), message.payload());
        }
    }

    fn look(&mut self, partition: Partition, key: Option<&[u8]>, value: Option<&[u8]>) {
        let Some(value) = value else { return };
        let Ok(update) = Update::parse(value) else {
            self.sample.unreadable += 1;
            return;
        };
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
