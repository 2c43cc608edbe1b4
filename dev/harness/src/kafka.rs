//! What a test looks at from outside of the engine: records in, committed
//! records out, how far a group is.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

use crate::{Error, PATIENCE};

/// A client of a cluster.
#[derive(Debug, Clone)]
pub struct Kafka {
    /// Where it is.
    pub bootstrap: String,
}

/// A committed record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Its partition.
    pub partition: i32,
    /// Its key, as text.
    pub key: Option<String>,
    /// Its value, as text; none: a tombstone.
    pub value: Option<String>,
}

impl Kafka {
    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap).set("partitioner", "murmur2_random");
        config
    }

    /// A producer that keeps the order of its records.
    ///
    /// # Errors
    /// The library refuses.
    pub fn producer(&self) -> Result<Producer, Error> {
        let producer = self.config().set("enable.idempotence", "true").create()?;
        Ok(Producer(producer))
    }

    fn reader(&self, group: &str) -> Result<BaseConsumer, Error> {
        let mut config = self.config();
        config.set("group.id", group).set("enable.auto.commit", "false");
        config.set("isolation.level", "read_committed");
        Ok(config.create()?)
    }

    /// A reader of a topic's committed records, from the first one on.
    ///
    /// # Errors
    /// The cluster is away.
    pub fn follow(&self, topic: &str) -> Result<Follower, Error> {
        let consumer = self.reader("outside")?;
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions_of(&consumer, topic)? {
            list.add_partition_offset(topic, partition, Offset::Beginning)?;
        }
        consumer.assign(&list)?;
        Ok(Follower(consumer))
    }

    /// How many records of a topic a group has not read yet.
    ///
    /// # Errors
    /// The cluster is away.
    pub fn lag(&self, group: &str, topic: &str) -> Result<i64, Error> {
        let consumer = self.reader(group)?;
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions_of(&consumer, topic)? {
            list.add_partition(topic, partition);
        }
        let mut lag = 0;
        for one in consumer.committed_offsets(list, PATIENCE)?.elements() {
            let (low, high) = consumer.fetch_watermarks(topic, one.partition(), PATIENCE)?;
            lag += high - one.offset().to_raw().filter(|offset| *offset >= 0).unwrap_or(low);
        }
        Ok(lag)
    }
}

fn partitions_of(consumer: &BaseConsumer, topic: &str) -> Result<i32, Error> {
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
    let found = metadata.topics().first().ok_or("no topic")?;
    match found.partitions().len() {
        0 => Err(format!("there is no topic {topic}").into()),
        count => Ok(count as i32),
    }
}

/// Reads on where it was.
pub struct Follower(BaseConsumer);

impl Follower {
    /// The records that came, until none came for so long.
    pub fn read(&self, quiet: Duration) -> Vec<Committed> {
        let mut records = Vec::new();
        let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        // A broker that is away for a while is waited for.
        while let Some(said) = self.0.poll(quiet) {
            records.extend(said.ok().map(|message| Committed {
                partition: message.partition(),
                key: text(message.key()),
                value: text(message.payload()),
            }));
        }
        records
    }
}

/// Sends records by their keys, in order.
pub struct Producer(BaseProducer);

impl Producer {
    /// Adds a record; it is on its way, and not yet acknowledged.
    ///
    /// # Errors
    /// It cannot be sent.
    pub fn send(&self, topic: &str, key: &str, value: &str) -> Result<(), Error> {
        let mut record = BaseRecord::to(topic).key(key).payload(value);
        loop {
            match self.0.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => {
                    self.0.poll(Duration::from_millis(5));
                    record = again;
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
    }

    /// Waits until all are acknowledged.
    ///
    /// # Errors
    /// They were not.
    pub fn flush(&self) -> Result<(), Error> {
        Ok(self.0.flush(PATIENCE)?)
    }
}
