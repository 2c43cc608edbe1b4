//! Changes to the cluster by other clients, and reads of what is committed.

use std::time::{Duration, Instant};

use pricedrop_kafka::Settings;
use pricedrop_model::Partition;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewPartitions, ResourceSpecifier};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

use super::{PATIENCE, uuid};

/// The pause between two attempts.
const AGAIN: Duration = Duration::from_millis(50);

/// Sets the group's offset as a tool would, once the group has no members.
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

/// Leaves a transaction of this id open, as an engine that dies during its commit does: with a
/// notification and an offset of partition 0. It expires soon.
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

/// Commits a position of partition 0 to the states topic, without the group's offset.
pub fn write_position(settings: &Settings, value: &[u8]) {
    let mut config = client(settings);
    let producer: BaseProducer = config.set("transactional.id", uuid()).create().expect("a producer");
    producer.init_transactions(PATIENCE).expect("transactions");
    producer.begin_transaction().expect("a transaction");
    let record = BaseRecord::to(&settings.topics.state).partition(0).key("\0position").payload(value);
    producer.send(record).map_err(|(error, _)| error).expect("queued");
    producer.commit_transaction(PATIENCE).expect("committed");
}

/// Returns whether partition 0 of this topic has a transaction that is not decided.
pub fn hangs(settings: &Settings, topic: &str) -> bool {
    let end = |isolation: &str| {
        let mut config = client(settings);
        let consumer: BaseConsumer = config.set("isolation.level", isolation).create().expect("a consumer");
        consumer.fetch_watermarks(topic, 0, PATIENCE).expect("watermarks").1
    };
    end("read_committed") < end("read_uncommitted")
}

/// Increases the number of partitions of a topic.
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

/// Deletes all offsets of the group, once the group has no members.
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

/// Sets a configuration entry of a topic.
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

/// Returns every committed record of a topic: partition, key, value.
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
