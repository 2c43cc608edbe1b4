//! The archiver over a topic in memory: what it closes, and where it stops.
#![allow(clippy::unwrap_used)]

mod rig;

use std::sync::{Arc, Mutex};

use pricedrop_archive::{Archiver, Bucket, Chain, Counters, Limits};
use pricedrop_harness::wait_for;
use pricedrop_model::Partition;
use pricedrop_model::archive::{ArchiveSource, ArchivedRecord};
use pricedrop_model::seams::Error;
use pricedrop_model::time::SystemClock;
use rig::{GROUP, folder, open, record_at, records, source};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// A topic with one partition.
#[derive(Clone, Default)]
struct Topic(Arc<Mutex<Vec<ArchivedRecord>>>);

impl Topic {
    fn append(&self, offsets: std::ops::Range<i64>) {
        self.0.lock().unwrap().extend(offsets.filter_map(record_at));
    }

    /// As retention does.
    fn delete_before(&self, offset: i64) {
        self.0.lock().unwrap().retain(|record| record.offset >= offset);
    }

    fn records(&self) -> Vec<ArchivedRecord> {
        self.0.lock().unwrap().clone()
    }
}

struct TopicSource {
    topic: Topic,
    next: i64,
}

impl ArchiveSource for TopicSource {
    fn topic(&self) -> &str {
        "prices"
    }

    fn assigned(&mut self) -> Vec<(Partition, u64)> {
        vec![(Partition(3), 1)]
    }

    fn offsets(&mut self, _: Partition) -> Result<(i64, i64), Error> {
        let records = self.topic.records();
        let (first, last) = (records.first().unwrap().offset, records.last().unwrap().offset);
        Ok((first, last + 1))
    }

    fn read_from(&mut self, offsets: &[(Partition, i64)]) -> Result<(), Error> {
        self.next = offsets.first().map_or(i64::MAX, |(_, offset)| *offset);
        Ok(())
    }

    fn next_batch(&mut self, _: u64) -> Result<Vec<(Partition, ArchivedRecord)>, Error> {
        let mut records = self.topic.records();
        records.retain(|record| record.offset >= self.next);
        records.truncate(7);
        match records.last() {
            Some(last) => self.next = last.offset + 1,
            None => std::thread::yield_now(),
        }
        Ok(records.into_iter().map(|record| (Partition(3), record)).collect())
    }
}

/// Runs until it is dropped.
struct Running {
    counters: Arc<Counters>,
    stop: watch::Sender<bool>,
    thread: Option<std::thread::JoinHandle<()>>,
    _runtime: Runtime,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Objects are closed as soon as no record comes.
const EAGER: Limits = Limits { object_bytes: 1 << 20, object_age_ms: 0, memory_bytes: 1 << 20 };

fn start(topic: &Topic, bucket: &Bucket, limits: Limits) -> Running {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (stop, stopping) = watch::channel(false);
    let counters = Arc::new(Counters::default());
    let archiver = Archiver {
        source: Box::new(TopicSource { topic: topic.clone(), next: 0 }),
        bucket: bucket.clone(),
        group: GROUP.into(),
        limits,
        clock: Arc::new(SystemClock),
        counters: Arc::clone(&counters),
        stop: stopping,
    };
    let handle = runtime.handle().clone();
    let thread = Some(std::thread::spawn(move || archiver.run(&handle)));
    Running { counters, stop, thread, _runtime: runtime }
}

fn home() -> (TempDir, Bucket) {
    let home = tempfile::tempdir().unwrap();
    let bucket = open(&folder(&home));
    (home, bucket)
}

/// Waits until all of the topic is in the archive.
fn archived(running: &Running, topic: &Topic) {
    let next = topic.records().last().unwrap().offset + 1;
    let is_there = || running.counters.snapshots().iter().any(|it| it.next == next).then_some(());
    wait_for("the archive to grow", is_there).unwrap();
}

fn run<T>(work: impl Future<Output = T>) -> T {
    Runtime::new().unwrap().block_on(work)
}

/// Waits until it says why it does not continue.
fn reason(running: &Running) -> String {
    wait_for("a reason", || running.counters.reasons().pop()).unwrap()
}

#[test]
fn a_topic_is_archived_once_across_restarts() {
    let (_home, bucket) = home();
    let topic = Topic::default();
    topic.append(0..100);
    {
        let running = start(&topic, &bucket, EAGER);
        archived(&running, &topic);
        topic.append(100..150);
        archived(&running, &topic);
    }
    topic.append(150..200);
    let running = start(&topic, &bucket, EAGER);
    archived(&running, &topic);
    drop(running);
    assert_eq!(run(records(&bucket)), topic.records());
}

#[test]
fn an_object_is_closed_by_size_long_before_its_age() {
    let (_home, bucket) = home();
    let topic = Topic::default();
    topic.append(0..20_000);
    let limits = Limits { object_bytes: 2_000, object_age_ms: u64::MAX, ..EAGER };
    let running = start(&topic, &bucket, limits);
    let objects = || Some(running.counters.snapshots().first()?.objects).filter(|objects| *objects >= 2);
    wait_for("two objects", objects).unwrap();
}

#[test]
fn records_that_the_topic_deleted_first_stop_the_archive_until_that_is_accepted() {
    let (_home, bucket) = home();
    let topic = Topic::default();
    topic.append(0..50);
    archived(&start(&topic, &bucket, EAGER), &topic);
    topic.append(50..100);
    topic.delete_before(80);
    {
        let running = start(&topic, &bucket, EAGER);
        let reason = reason(&running);
        assert!(reason.contains("prices/3: the records 49-79 are lost"), "{reason}");
        assert!(reason.contains("pricedrop archive accept-loss prices 3"), "{reason}");
    }
    run(async {
        let mut chain = Chain::open(&bucket, source()).await.unwrap();
        chain.append_loss(79).await.unwrap();
    });
    archived(&start(&topic, &bucket, EAGER), &topic);
}

#[test]
fn another_topic_of_the_same_name_is_not_archived_as_this_one() {
    let (_home, bucket) = home();
    let topic = Topic::default();
    topic.append(0..50);
    archived(&start(&topic, &bucket, EAGER), &topic);
    let anew = Topic::default();
    anew.append(0..20);
    let said = reason(&start(&anew, &bucket, EAGER));
    assert!(said.contains("it ends before offset 20, and the archive before 49"), "{said}");
    anew.append(20..100);
    anew.0.lock().unwrap().iter_mut().for_each(|record| record.timestamp_ms += 1);
    let running = start(&anew, &bucket, EAGER);
    let said = reason(&running);
    assert!(said.contains("its record at offset 48 is not the one in the archive"), "{said}");
    assert!(said.contains("The topic was created anew"), "{said}");
}

#[test]
fn two_archivers_of_one_partition_archive_it_once() {
    let (_home, bucket) = home();
    let topic = Topic::default();
    topic.append(0..10);
    let both = [start(&topic, &bucket, EAGER), start(&topic, &bucket, EAGER)];
    for end in (20..=400).step_by(10) {
        topic.append(end - 10..end);
        let next = topic.records().last().unwrap().offset + 1;
        let either = || both.iter().any(|it| it.counters.snapshots().iter().any(|it| it.next == next));
        wait_for("either to archive it", || either().then_some(())).unwrap();
    }
    wait_for("all of it", || (run(records(&bucket)).len() == topic.records().len()).then_some(())).unwrap();
    assert_eq!(run(records(&bucket)), topic.records());
}
