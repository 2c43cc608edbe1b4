//! An in-memory topic, and an archiver of it that runs until it is dropped.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use pricedrop_archive::{Archiver, Bucket, Limits, Metrics, Snapshot};
use pricedrop_harness::wait_for;
use pricedrop_model::Partition;
use pricedrop_model::archive::{ArchiveSource, ArchivedRecord};
use pricedrop_model::ports::Error;
use pricedrop_model::time::SystemClock;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::{GROUP, record_at};

/// An in-memory topic with one partition.
#[derive(Clone, Default)]
pub struct Topic {
    pub records: Arc<Mutex<Vec<ArchivedRecord>>>,
    /// How many records were read, repeated reads included.
    pub read: Arc<AtomicUsize>,
    /// Its first offset, if that is less than the offset of its first record.
    first: Arc<Mutex<Option<i64>>>,
    /// Its end offset, if that is past its last record.
    end: Arc<AtomicI64>,
    id: Arc<Mutex<Option<String>>>,
}

impl Topic {
    pub fn append(&self, offsets: std::ops::Range<i64>) {
        self.records.lock().unwrap().extend(offsets.filter_map(record_at));
    }

    /// Deletes records as retention does.
    pub fn delete_before(&self, offset: i64) {
        self.records.lock().unwrap().retain(|record| record.offset >= offset);
    }

    pub fn records(&self) -> Vec<ArchivedRecord> {
        self.records.lock().unwrap().clone()
    }

    /// Returns the offset after its last one.
    pub fn next(&self) -> i64 {
        let last = self.records.lock().unwrap().last().map_or(-1, |record| record.offset);
        self.end.load(Relaxed).max(last + 1)
    }

    fn first(&self) -> i64 {
        let first = self.records.lock().unwrap().first().map(|record| record.offset);
        self.first.lock().unwrap().or(first).unwrap_or_else(|| self.next())
    }

    /// Sets an end offset past the last record, as markers of transactions do.
    pub fn end_at(&self, end: i64) {
        self.end.store(end, Relaxed);
    }

    /// Sets a first offset that is less than the first record's.
    pub fn begins_at(&self, first: i64) {
        *self.first.lock().unwrap() = Some(first);
    }

    pub fn set_id(&self, id: &str) {
        *self.id.lock().unwrap() = Some(id.to_owned());
    }

    pub fn with_id(self, id: &str) -> Topic {
        self.set_id(id);
        self
    }
}

struct TopicSource {
    name: String,
    topic: Topic,
    next: i64,
    passed: Option<i64>,
}

impl ArchiveSource for TopicSource {
    fn topic(&self) -> &str {
        &self.name
    }

    fn assigned(&mut self) -> Vec<(Partition, u64)> {
        vec![(Partition(3), 1)]
    }

    fn offsets(&mut self, _: Partition) -> Result<(i64, i64), Error> {
        Ok((self.topic.first(), self.topic.next()))
    }

    fn read_from(&mut self, offsets: &[(Partition, i64)]) -> Result<(), Error> {
        self.next = offsets.first().map_or(i64::MAX, |(_, offset)| *offset);
        self.passed = None;
        Ok(())
    }

    fn next_batch(&mut self, _: u64) -> Result<Vec<(Partition, ArchivedRecord)>, Error> {
        // The end is read before the records, because more may be appended meanwhile.
        let end = self.topic.next();
        let records: Vec<ArchivedRecord> = {
            let all = self.topic.records.lock().unwrap();
            let from = all.partition_point(|record| record.offset < self.next);
            all[from..].iter().take(7).cloned().collect()
        };
        match records.last() {
            Some(last) => self.next = last.offset + 1,
            None => std::thread::yield_now(),
        }
        self.passed = records.is_empty().then(|| self.next.max(end));
        self.topic.read.fetch_add(records.len(), Relaxed);
        Ok(records.into_iter().map(|record| (Partition(3), record)).collect())
    }

    fn passed(&mut self, _: Partition) -> Option<i64> {
        self.passed.filter(|passed| *passed < i64::MAX)
    }

    fn topic_id(&mut self) -> Result<Option<String>, Error> {
        Ok(self.topic.id.lock().unwrap().clone())
    }
}

/// An archiver that runs until it is dropped.
pub struct Running {
    pub metrics: Arc<Metrics>,
    stop: watch::Sender<bool>,
    thread: Option<std::thread::JoinHandle<()>>,
    _runtime: Runtime,
}

impl Running {
    /// Returns the counters of its partition, once it has one.
    pub fn counted(&self) -> Option<Snapshot> {
        self.metrics.snapshots().pop()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Limits with which an object is closed as soon as no more records arrive.
pub const EAGER: Limits = Limits { object_bytes: 1 << 20, object_age_ms: 0, memory_bytes: 1 << 20 };

pub fn start(topic: &Topic, bucket: &Bucket, limits: Limits) -> Running {
    start_as(topic, bucket, limits, (GROUP, "prices"))
}

/// Starts it for another group, or another topic.
pub fn start_as(topic: &Topic, bucket: &Bucket, limits: Limits, (group, name): (&str, &str)) -> Running {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (stop, stopping) = watch::channel(false);
    let metrics = Arc::new(Metrics::default());
    let archiver = Archiver {
        source: Box::new(TopicSource { name: name.into(), topic: topic.clone(), next: 0, passed: None }),
        bucket: bucket.clone(),
        group: group.into(),
        limits,
        clock: Arc::new(SystemClock),
        metrics: Arc::clone(&metrics),
        stop: stopping,
    };
    let handle = runtime.handle().clone();
    let thread = Some(std::thread::spawn(move || archiver.run(&handle)));
    Running { metrics, stop, thread, _runtime: runtime }
}

/// Waits until the whole topic is in the archive.
pub fn archived(running: &Running, topic: &Topic) {
    let next = topic.next();
    let is_there = || running.counted().filter(|it| it.next == next).map(|_| ());
    let why = |error| panic!("{error}: {:?} of {next}, {:?}", running.counted(), running.metrics.reasons());
    wait_for("the archive to grow", is_there).unwrap_or_else(why);
}

pub fn run<T>(work: impl Future<Output = T>) -> T {
    Runtime::new().unwrap().block_on(work)
}

/// Waits until the archiver reports why it is blocked, and returns the reason.
pub fn reason(running: &Running) -> String {
    wait_for("a reason", || running.metrics.reasons().pop()).unwrap()
}
