//! Tests reading a topic for the archiver, and publishing an archive.
#![allow(clippy::unwrap_used)]

mod rig;

use std::time::{Duration, Instant};

use bytes::Bytes;
use pricedrop_harness::kafka::Kafka;
use pricedrop_harness::{servers, wait_for};
use pricedrop_kafka::topics::{self, NewTopics};
use pricedrop_kafka::{KafkaArchiveSource, Republisher, Settings};
use pricedrop_model::archive::{ArchiveSource, ArchivedRecord, Header};
use pricedrop_model::{Partition, Position};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rig::{PATIENCE, fresh};
use tokio::runtime::Runtime;

const P: Partition = Partition(0);

fn settings() -> Settings {
    Runtime::new().unwrap().block_on(fresh(&servers::kafka(), 1))
}

/// Joins as a source, and waits until the topic's one partition is assigned.
fn joined(settings: &Settings) -> KafkaArchiveSource {
    let mut source = KafkaArchiveSource::join(settings, &settings.topics.prices).unwrap();
    let until = Instant::now() + PATIENCE;
    while source.assigned().is_empty() {
        assert!(Instant::now() < until, "nothing was assigned: {:?}", source.trouble());
        std::thread::yield_now();
    }
    source
}

/// Reads until every record before this offset has been passed.
fn read_to(source: &mut KafkaArchiveSource, end: i64) -> Vec<ArchivedRecord> {
    let (until, mut records) = (Instant::now() + PATIENCE, Vec::<ArchivedRecord>::new());
    loop {
        let batch = source.next_batch(100).unwrap();
        let passed = source.passed(P);
        records.extend(batch.into_iter().map(|(_, record)| record));
        assert!(passed <= Some(end), "{passed:?} of {end}");
        assert!(records.last().is_none_or(|last| passed.is_none_or(|passed| last.offset < passed)));
        if passed == Some(end) {
            return records;
        }
        assert!(Instant::now() < until, "{passed:?} of {end}, {} records", records.len());
    }
}

fn offsets(records: &[ArchivedRecord]) -> Vec<i64> {
    records.iter().map(|record| record.offset).collect()
}

struct Transactions {
    producer: BaseProducer,
    topic: String,
}

impl Transactions {
    fn of(settings: &Settings) -> Transactions {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", servers::kafka()).set("transactional.id", &settings.group);
        let producer: BaseProducer = config.create().unwrap();
        producer.init_transactions(PATIENCE).unwrap();
        Transactions { producer, topic: settings.topics.prices.clone() }
    }

    /// Begins a transaction with this many records, and waits until they are in the log.
    fn begin(&self, records: usize) {
        self.producer.begin_transaction().unwrap();
        for _ in 0..records {
            let record = BaseRecord::<(), str>::to(&self.topic).partition(0).payload("a price");
            self.producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        self.producer.flush(PATIENCE).unwrap();
    }

    fn commit(&self) {
        self.producer.commit_transaction(PATIENCE).unwrap();
    }

    fn abort(&self) {
        self.producer.abort_transaction(PATIENCE).unwrap();
    }
}

#[test]
fn markers_and_aborted_records_are_skipped_and_committed_records_are_not() {
    let settings = settings();
    let transactions = Transactions::of(&settings);
    let mut source = joined(&settings);
    // Records 0-2, a marker; 4-5 aborted, a marker; 7, a marker.
    transactions.begin(3);
    transactions.commit();
    transactions.begin(2);
    transactions.abort();
    transactions.begin(1);
    transactions.commit();
    source.read_from(&[(P, 0)]).unwrap();
    assert_eq!(source.passed(P), None);
    assert_eq!(offsets(&read_to(&mut source, 9)), [0, 1, 2, 7]);
    // The outcome of this transaction is not decided yet.
    transactions.begin(2);
    for _ in 0..5 {
        assert_eq!(source.next_batch(50).unwrap(), []);
        assert_eq!(source.passed(P), Some(9));
    }
    transactions.commit();
    assert_eq!(offsets(&read_to(&mut source, 12)), [9, 10]);
    transactions.begin(1);
    transactions.abort();
    assert_eq!(read_to(&mut source, 14), []);
    // What was passed before the seek must not count for the records that are read again.
    for _ in 0..20 {
        source.read_from(&[(P, 1)]).unwrap();
        assert_eq!(source.passed(P), None);
        assert_eq!(offsets(&read_to(&mut source, 14)), [1, 2, 7, 9, 10]);
    }
    source.read_from(&[(P, 11)]).unwrap();
    assert_eq!(read_to(&mut source, 14), []);
}

#[test]
fn a_topic_that_was_created_anew_has_another_id() {
    let settings = settings();
    let mut source = joined(&settings);
    let first = source.topic_id().unwrap().unwrap();
    assert_eq!(joined_id(&settings), first);
    Kafka { bootstrap: servers::kafka() }.delete_topic(&settings.topics.prices).unwrap();
    let until = Instant::now() + PATIENCE;
    while source.topic_id().is_ok() {
        assert!(Instant::now() < until, "the topic is still there");
        std::thread::park_timeout(Duration::from_millis(20));
    }
    let made = topics::apply(&settings, NewTopics { partitions: 1, replication: 1 });
    Runtime::new().unwrap().block_on(made).unwrap();
    let second = source.topic_id().unwrap().unwrap();
    assert_ne!(first, second);
}

/// Returns the topic's id as another client reads it.
fn joined_id(settings: &Settings) -> String {
    let mut other = KafkaArchiveSource::join(settings, &settings.topics.prices).unwrap();
    other.topic_id().unwrap().unwrap()
}

#[test]
fn headers_of_any_name_are_published_as_they_were() {
    let settings = settings();
    let bytes = |text: &str| Some(Bytes::copy_from_slice(text.as_bytes()));
    let header = |name: &[u8], value: Option<Bytes>| Header { name: Bytes::copy_from_slice(name), value };
    let headers = vec![
        header(b"\xff\xfe", bytes("not UTF-8")),
        header(b"", None),
        header(b"a", bytes("")),
        header(b"a", None),
        header("\u{e9}".as_bytes(), Some(Bytes::from_static(b"\x80"))),
    ];
    let archived =
        [(None, bytes("a value")), (bytes("key"), None), (bytes(""), bytes(""))].into_iter().zip(0..);
    let archived: Vec<ArchivedRecord> = archived
        .map(|((key, value), offset)| ArchivedRecord {
            offset,
            timestamp_ms: 1_796_006_060_000 + offset,
            key,
            value,
            headers: headers.clone(),
        })
        .collect();
    let topic = &settings.topics.prices;
    let made = || Republisher::new(&settings, topic, Some("night")).ok();
    let publisher = wait_for("the topic to be known", made).unwrap();
    for record in &archived {
        publisher.send(Position { partition: P, offset: record.offset + 40 }, record, true).unwrap();
    }
    publisher.flush().unwrap();
    let seen = Republisher::seen(&settings, topic, Some("night")).unwrap();
    assert_eq!((seen.count(), seen.holds(Position { partition: P, offset: 42 })), (3, true));
    let mut source = joined(&settings);
    source.read_from(&[(P, 0)]).unwrap();
    let mut published = read_to(&mut source, 3);
    for (record, original) in published.iter_mut().zip(&archived) {
        let own = record.headers.split_off(headers.len());
        let names: Vec<&[u8]> = own.iter().map(|header| &header.name[..]).collect();
        assert_eq!(names, [&b"pricedrop.position"[..], b"pricedrop.replayed", b"pricedrop.again"]);
        assert_eq!(own[1].value, bytes(&format!("0/{} night", original.offset + 40)));
    }
    assert_eq!(published, archived);
}
