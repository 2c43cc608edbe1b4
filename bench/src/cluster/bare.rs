//! The baseline: a producer that only sends.

use std::time::{Duration, Instant};

use pricedrop_kafka::Settings;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Message, Offset, TopicPartitionList};

use super::rig::{PARTITIONS, PATIENCE};
use super::shape::TOLD;

/// A producer of the same bytes that a notifier wrote in a round.
pub struct Producer {
    producer: BaseProducer,
    topic: String,
    bytes: Vec<u8>,
    /// Where each key and each value ends, as byte offsets.
    ends: Vec<(usize, usize)>,
}

impl Producer {
    /// Returns a producer to topics of its own. Its records are those that `told` has in its topic of
    /// notifications. Its settings are the fastest for a lone producer: the engine's, without linger.
    /// With the engine's linger it is half as fast, because it does not flush before the end.
    pub fn new(settings: &Settings, told: &Settings) -> Producer {
        let producer = settings.idempotent().create().unwrap();
        let topic = settings.topics.notifications.clone();
        let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(TOLD));
        read(told, |key, value| {
            bytes.extend_from_slice(key);
            let middle = bytes.len();
            bytes.extend_from_slice(value);
            ends.push((middle, bytes.len()));
        });
        Producer { producer, topic, bytes, ends }
    }

    /// Sends all records, and waits until they are acknowledged.
    pub fn send(&self) -> Duration {
        let begun = Instant::now();
        let mut start = 0;
        for (count, &(middle, end)) in self.ends.iter().enumerate() {
            let (key, value) = (&self.bytes[start..middle], &self.bytes[middle..end]);
            start = end;
            let mut record = BaseRecord::to(&self.topic).key(key).payload(value);
            while let Err((error, again)) = self.producer.send(record) {
                let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
                assert_eq!(error, full);
                self.producer.poll(Duration::from_millis(2));
                record = again;
            }
            if count % 1_000 == 0 {
                self.producer.poll(Duration::ZERO);
            }
        }
        self.producer.flush(PATIENCE).unwrap();
        begun.elapsed()
    }
}

/// Passes each notification of a round to `see`.
fn read(told: &Settings, mut see: impl FnMut(&[u8], &[u8])) {
    let consumer: BaseConsumer = told.reader().create().unwrap();
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        list.add_partition_offset(&told.topics.notifications, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    let (begun, mut count) = (Instant::now(), 0);
    while count < TOLD {
        assert!(begun.elapsed() < PATIENCE, "only {count} notifications were read");
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        let message = message.unwrap();
        see(message.key().unwrap(), message.payload().unwrap());
        count += 1;
    }
}
