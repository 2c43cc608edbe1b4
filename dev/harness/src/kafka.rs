//! Kafka as tests use it, independent of the engine: sends records, reads committed records,
//! and reads how far a group is.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Header, Headers as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

use crate::{Error, TIMEOUT, repository, wait_for};

/// A client of a cluster.
#[derive(Debug, Clone)]
pub struct Kafka {
    /// The bootstrap servers.
    pub bootstrap: String,
}

/// A committed record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Its partition.
    pub partition: i32,
    /// Its key, as text.
    pub key: Option<String>,
    /// Its value, as text; `None`: a tombstone.
    pub value: Option<String>,
}

/// A record with everything that Kafka stores for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawRecord {
    /// Its partition.
    pub partition: i32,
    /// Its offset; ignored in a record that is sent.
    pub offset: i64,
    /// Its timestamp, epoch milliseconds; in a record that is sent, the client sets it.
    pub timestamp_ms: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Its headers.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Kafka {
    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap).set("partitioner", "murmur2_random");
        config
    }

    /// Returns a producer that keeps the order of its records.
    ///
    /// # Errors
    /// The client library refuses.
    pub fn producer(&self) -> Result<Producer, Error> {
        let producer = self.config().set("enable.idempotence", "true").create()?;
        Ok(Producer(producer))
    }

    /// Returns a transactional producer.
    ///
    /// # Errors
    /// The cluster is unavailable.
    pub fn transactions(&self, id: &str) -> Result<Transactions, Error> {
        let producer: BaseProducer = self.config().set("transactional.id", id).create()?;
        producer.init_transactions(TIMEOUT)?;
        Ok(Transactions(producer))
    }

    /// Returns every committed record that a topic holds now.
    ///
    /// # Errors
    /// The cluster is unavailable.
    pub fn records(&self, topic: &str) -> Result<Vec<RawRecord>, Error> {
        let mut config = self.config();
        config.set("group.id", "outside").set("enable.auto.commit", "false");
        config.set("isolation.level", "read_committed").set("enable.partition.eof", "true");
        let consumer: BaseConsumer = config.create()?;
        let mut list = TopicPartitionList::new();
        let mut open = partitions_of(&consumer, topic)?;
        for partition in 0..open {
            list.add_partition_offset(topic, partition, Offset::Beginning)?;
        }
        consumer.assign(&list)?;
        let mut records = Vec::new();
        while open > 0 {
            match consumer.poll(TIMEOUT).ok_or("nothing came")? {
                Ok(message) => records.push(RawRecord::of(&message)),
                Err(KafkaError::PartitionEOF(_)) => open -= 1,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(records)
    }

    /// Deletes a topic, and waits until it is gone.
    ///
    /// # Errors
    /// The cluster is unavailable.
    pub fn delete_topic(&self, topic: &str) -> Result<(), Error> {
        let tool = repository().join("dev/servers/kafka-tool");
        let mut command = std::process::Command::new(tool);
        command.args(["TopicCommand", "--bootstrap-server", &self.bootstrap, "--delete", "--topic", topic]);
        let output = command.output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stdout).into_owned().into());
        }
        let consumer = self.reader("outside")?;
        wait_for("the topic to be gone", || partitions_of(&consumer, topic).is_err().then_some(()))
    }

    /// Returns the last stable offset of each partition of a topic.
    ///
    /// # Errors
    /// The cluster is unavailable.
    pub fn ends(&self, topic: &str) -> Result<Vec<i64>, Error> {
        let consumer = self.reader("outside")?;
        let end = |partition| Ok(consumer.fetch_watermarks(topic, partition, TIMEOUT)?.1);
        (0..partitions_of(&consumer, topic)?).map(end).collect()
    }

    /// Deletes every record that a topic holds now, as retention does.
    ///
    /// # Errors
    /// The cluster is unavailable.
    pub fn empty(&self, topic: &str) -> Result<(), Error> {
        let mut list = TopicPartitionList::new();
        for (partition, _) in (0..).zip(self.ends(topic)?) {
            list.add_partition_offset(topic, partition, Offset::End)?;
        }
        let admin: AdminClient<DefaultClientContext> = self.config().create()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let deleted = runtime.block_on(admin.delete_records(&list, &AdminOptions::new()))?;
        Ok(deleted.elements().iter().try_for_each(|one| one.error())?)
    }

    fn reader(&self, group: &str) -> Result<BaseConsumer, Error> {
        let mut config = self.config();
        config.set("group.id", group).set("enable.auto.commit", "false");
        config.set("isolation.level", "read_committed");
        Ok(config.create()?)
    }

    /// Returns a reader of a topic's committed records, from the first one on.
    ///
    /// # Errors
    /// The cluster is unavailable.
    pub fn follow(&self, topic: &str) -> Result<Follower, Error> {
        let consumer = self.reader("outside")?;
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions_of(&consumer, topic)? {
            list.add_partition_offset(topic, partition, Offset::Beginning)?;
        }
        consumer.assign(&list)?;
        Ok(Follower(consumer))
    }

    /// Counts the committed records of a topic that a group has not read yet. Unlike the lag, it
    /// does not count the markers of transactions.
    ///
    /// # Errors
    /// The cluster is unavailable.
    pub fn unread(&self, group: &str, topic: &str) -> Result<usize, Error> {
        let consumer = self.reader(group)?;
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions_of(&consumer, topic)? {
            list.add_partition(topic, partition);
        }
        let committed = consumer.committed_offsets(list, TIMEOUT)?;
        let is_unread = |record: &RawRecord| {
            let one = committed.find_partition(topic, record.partition);
            let next = one.and_then(|one| one.offset().to_raw()).filter(|offset| *offset >= 0);
            next.is_none_or(|next| record.offset >= next)
        };
        Ok(self.records(topic)?.iter().filter(|record| is_unread(record)).count())
    }

    /// Returns the lag of a group in a topic, in offsets.
    ///
    /// # Errors
    /// The cluster is unavailable.
    pub fn lag(&self, group: &str, topic: &str) -> Result<i64, Error> {
        let consumer = self.reader(group)?;
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions_of(&consumer, topic)? {
            list.add_partition(topic, partition);
        }
        let mut lag = 0;
        for one in consumer.committed_offsets(list, TIMEOUT)?.elements() {
            let (low, high) = consumer.fetch_watermarks(topic, one.partition(), TIMEOUT)?;
            lag += high - one.offset().to_raw().filter(|offset| *offset >= 0).unwrap_or(low);
        }
        Ok(lag)
    }
}

fn partitions_of(consumer: &BaseConsumer, topic: &str) -> Result<i32, Error> {
    let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT)?;
    let found = metadata.topics().first().ok_or("no topic")?;
    match found.partitions().len() {
        0 => Err(format!("there is no topic {topic}").into()),
        count => Ok(count as i32),
    }
}

impl RawRecord {
    fn of(message: &BorrowedMessage<'_>) -> RawRecord {
        let bytes = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
        let headers = message.headers().map(|headers| {
            headers.iter().map(|header| (header.key.to_owned(), bytes(header.value))).collect()
        });
        RawRecord {
            partition: message.partition(),
            offset: message.offset(),
            timestamp_ms: message.timestamp().to_millis().unwrap_or(0),
            key: bytes(message.key()),
            value: bytes(message.payload()),
            headers: headers.unwrap_or_default(),
        }
    }
}

/// A transactional producer.
pub struct Transactions(BaseProducer);

impl Transactions {
    /// Sends these records in one transaction, which is then committed or aborted.
    ///
    /// # Errors
    /// The cluster is unavailable.
    pub fn send(&self, topic: &str, records: &[RawRecord], commits: bool) -> Result<(), Error> {
        self.0.begin_transaction()?;
        for record in records {
            let mut headers = OwnedHeaders::new();
            for (name, value) in &record.headers {
                headers = headers.insert(Header { key: name, value: value.as_deref() });
            }
            let mut sent = BaseRecord::<[u8], [u8]>::to(topic).partition(record.partition).headers(headers);
            sent.key = record.key.as_deref();
            sent.payload = record.value.as_deref();
            self.0.send(sent).map_err(|(error, _)| error)?;
        }
        self.0.flush(TIMEOUT)?;
        match commits {
            true => self.0.commit_transaction(TIMEOUT)?,
            false => self.0.abort_transaction(TIMEOUT)?,
        }
        Ok(())
    }
}

/// A reader that continues where its last read ended.
pub struct Follower(BaseConsumer);

impl Follower {
    /// Returns the records that arrive, until none has arrived for the time `quiet`.
    pub fn read(&self, quiet: Duration) -> Vec<Committed> {
        let mut records = Vec::new();
        let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        // Errors are skipped: the client reconnects to an unavailable broker.
        while let Some(report) = self.0.poll(quiet) {
            records.extend(report.ok().map(|message| Committed {
                partition: message.partition(),
                key: text(message.key()),
                value: text(message.payload()),
            }));
        }
        records
    }
}

/// A producer that sends records by their keys, in order.
pub struct Producer(BaseProducer);

impl Producer {
    /// Queues a record; it is not acknowledged yet.
    ///
    /// # Errors
    /// The record cannot be queued.
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

    /// Waits until all records are acknowledged.
    ///
    /// # Errors
    /// Not all were acknowledged in time.
    pub fn flush(&self) -> Result<(), Error> {
        Ok(self.0.flush(TIMEOUT)?)
    }
}
