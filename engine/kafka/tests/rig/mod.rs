//! A Kafka of the test's own topics, and workers over it.

use std::path::Path;
use std::time::{Duration, Instant};

use pricedrop_kafka::topics::{self, NewTopics};
use pricedrop_kafka::{Delivery, KafkaCommitter, KafkaSource, Metrics, Options, Settings, Start, Topics};
use pricedrop_model::Partition;
use pricedrop_model::notification::Format;
use pricedrop_model::ports::{Commit, CommitError, Committer, Error, Restored, UpdateSource};
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewPartitions, ResourceSpecifier};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

/// Longest wait for anything.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Between two attempts.
const AGAIN: Duration = Duration::from_millis(50);

/// Settings with topics nobody else uses.
pub async fn fresh(bootstrap: &str, partitions: i32) -> Settings {
    let mut settings = Settings::new(bootstrap);
    settings.group = format!("t{}", uuid());
    settings.topics = Topics::prefixed(&settings.group);
    let new = NewTopics { partitions, replication: 1 };
    topics::apply(&settings, new).await.expect("topics");
    settings
}

fn uuid() -> String {
    let mut random = [0; 8];
    std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom").expect("random"), &mut random)
        .expect("bytes");
    format!("{:016x}", u64::from_be_bytes(random))
}

/// How the tests' workers work.
pub fn options(settings: &Settings) -> Options {
    Options {
        settings: settings.clone(),
        start: Some(Start::Earliest),
        first_price_is_set: true,
        delivery: Delivery::ExactlyOnce,
        format: Format::Full,
        shadow: false,
        prices: None,
        metrics: Metrics::default(),
    }
}

/// A worker and what it needs.
pub struct Rig {
    pub source: KafkaSource,
    pub committer: KafkaCommitter,
    pub status: pricedrop_kafka::Status,
    /// Held as long as the worker.
    pub instance_id: pricedrop_kafka::InstanceId,
}

/// Starts a worker whose instance lives in this folder.
pub fn worker(options: Options, folder: &Path) -> Rig {
    let instance_id = pricedrop_kafka::InstanceId::take(folder).expect("an instance id");
    let worker = pricedrop_kafka::start_worker(options, &instance_id, 0, None).expect("a worker");
    Rig { source: worker.source, committer: worker.committer, status: worker.status, instance_id }
}

impl Rig {
    /// Restores as the notifier does, until it has this many partitions.
    pub async fn own(&mut self, partitions: usize) -> Restored {
        let (until, mut why) = (Instant::now() + PATIENCE, None);
        loop {
            let stopped = self.status.stopped();
            assert!(Instant::now() < until, "never {partitions} partitions: {why:?}, {stopped:?}");
            match self.committer.restore().await {
                Ok(restored) if restored.offsets.len() == partitions => return restored,
                Ok(_) => {}
                Err(error @ (Error::Rebalanced(_) | Error::Unavailable(_))) => why = Some(error),
                Err(error) => panic!("{error}"),
            }
            // Wakes with the next rebalance.
            let _ = self.source.next_batch(1, 100).await;
        }
    }
}

impl Rig {
    /// Restores until that is refused for good, and says why.
    pub async fn fails(&mut self) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < until, "nothing was refused");
            match self.committer.restore().await {
                Err(Error::Fatal(why)) => return why.to_string(),
                Ok(_) | Err(_) => {}
            }
            let _ = self.source.next_batch(1, 100).await;
        }
    }

    /// Takes over what the group gave it by now, and waits a moment for more.
    pub async fn follow(&mut self) {
        let _ = self.committer.restore().await;
        let _ = self.source.next_batch(1, 200).await;
    }

    /// Restores until a partition waits for a person.
    pub async fn stops(&mut self) {
        let until = Instant::now() + PATIENCE;
        while self.status.stopped().is_empty() {
            assert!(Instant::now() < until, "no partition stopped");
            let _ = self.committer.restore().await;
            let _ = self.source.next_batch(1, 100).await;
        }
    }

    /// Commits at this offset whatever comes in between, as the notifier does;
    /// the offset it is at then.
    pub async fn insist(&mut self, offset: i64, commit: impl Fn(i64) -> Commit) -> i64 {
        let until = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < until, "the commit never came through");
            match self.committer.commit(commit(offset)).await {
                Ok(()) => return offset + 1,
                Err(CommitError::NotCommitted(_)) => {}
                Err(CommitError::Unknown(_) | CommitError::Fenced(_)) => {
                    let next = self.own(1).await.offsets[0].1;
                    if next > offset {
                        return next;
                    }
                }
            }
        }
    }
}

/// Moves the group to an offset as a tool would, once nobody is in it.
pub async fn move_group(settings: &Settings, offset: i64) {
    let mut config = client(settings);
    let consumer: BaseConsumer = config.set("group.id", &settings.group).create().expect("a consumer");
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&settings.topics.prices, 0, Offset::Offset(offset)).expect("an offset");
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = consumer.commit(&list, CommitMode::Sync) {
        assert!(Instant::now() < deadline, "{error}");
        tokio::time::sleep(AGAIN).await;
    }
}

/// Leaves a transaction of this id open, as an engine that dies in its commit:
/// a notification and an offset of partition 0. It expires soon.
pub fn leave_open(settings: &Settings, id: &str, user: &str, offset: i64) {
    let mut config = client(settings);
    let consumer: BaseConsumer =
        config.clone().set("group.id", &settings.group).create().expect("a consumer");
    config.set("transactional.id", id).set("transaction.timeout.ms", "1000");
    let producer: BaseProducer = config.create().expect("a producer");
    producer.init_transactions(PATIENCE).expect("transactions");
    producer.begin_transaction().expect("a transaction");
    let record = BaseRecord::to(&settings.topics.notifications).partition(0).key(user).payload("{}");
    producer.send(record).map_err(|(error, _)| error).expect("queued");
    producer.flush(PATIENCE).expect("delivered");
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&settings.topics.prices, 0, Offset::Offset(offset)).expect("an offset");
    let group = consumer.group_metadata().expect("a group");
    producer.send_offsets_to_transaction(&list, &group, PATIENCE).expect("offsets");
    std::mem::forget(producer);
}

/// Commits a position of partition 0 among the states, without the group's offset.
pub fn write_position(settings: &Settings, value: &[u8]) {
    let mut config = client(settings);
    let producer: BaseProducer = config.set("transactional.id", uuid()).create().expect("a producer");
    producer.init_transactions(PATIENCE).expect("transactions");
    producer.begin_transaction().expect("a transaction");
    let record = BaseRecord::to(&settings.topics.state).partition(0).key("\0position").payload(value);
    producer.send(record).map_err(|(error, _)| error).expect("queued");
    producer.commit_transaction(PATIENCE).expect("committed");
}

/// Whether something in partition 0 of this topic is neither committed nor aborted.
pub fn hangs(settings: &Settings, topic: &str) -> bool {
    let end = |isolation: &str| {
        let mut config = client(settings);
        let consumer: BaseConsumer = config.set("isolation.level", isolation).create().expect("a consumer");
        consumer.fetch_watermarks(topic, 0, PATIENCE).expect("watermarks").1
    };
    end("read_committed") < end("read_uncommitted")
}

/// Gives a topic more partitions.
pub async fn grow(settings: &Settings, topic: &str, partitions: usize) {
    let admin: AdminClient<_> = client(settings).create().expect("a client");
    let more = NewPartitions::new(topic, partitions);
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
    for grown in admin.create_partitions(&[more], &options).await.expect("an answer") {
        grown.expect("more partitions");
    }
}

/// Deletes the records of partition 0 of the input before this offset.
pub async fn delete_records(settings: &Settings, before: i64) {
    let admin: AdminClient<_> = client(settings).create().expect("a client");
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&settings.topics.prices, 0, Offset::Offset(before)).expect("an offset");
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
    let deleted = admin.delete_records(&list, &options).await.expect("an answer");
    deleted.elements().iter().for_each(|one| one.error().expect("deleted"));
}

/// Forgets all offsets of the group, once nobody is in it.
pub async fn forget_group(settings: &Settings) {
    let admin: AdminClient<_> = client(settings).create().expect("a client");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answers = admin.delete_groups(&[&settings.group], &AdminOptions::new()).await.expect("an answer");
        let Some(refused) = answers.into_iter().find_map(Result::err) else { return };
        assert!(Instant::now() < deadline, "{refused:?}");
        tokio::time::sleep(AGAIN).await;
    }
}

/// Sets an option of a topic.
pub async fn restrict(settings: &Settings, topic: &str, (name, value): (&str, &str)) {
    let admin: AdminClient<_> = client(settings).create().expect("a client");
    let altered = AlterConfig::new(ResourceSpecifier::Topic(topic)).set(name, value);
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
    for altered in admin.alter_configs([&altered], &options).await.expect("an answer") {
        altered.expect("another option");
    }
}

/// Produces records to a partition of the input.
pub fn produce(settings: &Settings, partition: i32, values: &[String]) {
    let producer: BaseProducer = client(settings).create().expect("a producer");
    for value in values {
        let record: BaseRecord<'_, [u8], str> =
            BaseRecord::to(&settings.topics.prices).partition(partition).payload(value);
        producer.send(record).map_err(|(error, _)| error).expect("queued");
    }
    producer.flush(PATIENCE).expect("delivered");
}

fn client(settings: &Settings) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &settings.properties["bootstrap.servers"]);
    config
}

/// Every committed record of a topic: partition, key, value.
pub fn committed(settings: &Settings, topic: &str) -> Vec<(i32, Option<String>, Option<String>)> {
    let mut config = client(settings);
    config
        .set("group.id", "reader")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).expect("metadata");
    let mut list = TopicPartitionList::new();
    for partition in metadata.topics()[0].partitions() {
        list.add_partition_offset(topic, partition.id(), Offset::Beginning).expect("an offset");
    }
    let mut open = list.count();
    consumer.assign(&list).expect("assigned");
    let mut records = Vec::new();
    let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    while open > 0 {
        match consumer.poll(PATIENCE) {
            Some(Ok(message)) => {
                records.push((message.partition(), text(message.key()), text(message.payload())));
            }
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => open -= 1,
            other => panic!("{other:?}"),
        }
    }
    records
}

/// Partition 0.
pub const P0: Partition = Partition(0);
