//! What archivers count, and why they are stopped.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pricedrop_model::Partition;

use crate::error::Error;

/// Of all topics.
#[derive(Debug, Default)]
pub struct Counters {
    topics: Mutex<BTreeMap<String, Topic>>,
}

#[derive(Debug, Default)]
struct Topic {
    /// Why it cannot be read or written as a whole.
    reason: Option<String>,
    partitions: BTreeMap<Partition, Arc<PartitionCounters>>,
}

/// Of one partition.
#[derive(Debug, Default)]
pub struct PartitionCounters {
    /// The offset after the archive's last record.
    pub next: AtomicI64,
    /// Offsets that are not in the archive yet.
    pub lag: AtomicI64,
    /// Objects that this process added.
    pub objects: AtomicU64,
    /// Records in them.
    pub records: AtomicU64,
    /// Their compressed bytes.
    pub bytes: AtomicU64,
    /// Objects that another archiver added first.
    pub conflicts: AtomicU64,
    /// Attempts that failed.
    pub failures: AtomicU64,
    reason: Mutex<Option<String>>,
}

/// The counters of one partition as they are now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: Partition,
    /// The offset after the archive's last record.
    pub next: i64,
    /// Offsets that are not in the archive yet.
    pub lag: i64,
    /// Objects that this process added.
    pub objects: u64,
    /// Records in them.
    pub records: u64,
    /// Their compressed bytes.
    pub bytes: u64,
    /// Objects that another archiver added first.
    pub conflicts: u64,
    /// Attempts that failed.
    pub failures: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Counters {
    /// Those of a partition.
    pub(crate) fn partition(&self, topic: &str, partition: Partition) -> Arc<PartitionCounters> {
        let mut topics = lock(&self.topics);
        let topic = topics.entry(topic.to_owned()).or_default();
        Arc::clone(topic.partitions.entry(partition).or_default())
    }

    /// A whole topic cannot be archived.
    pub(crate) fn failed(&self, topic: &str, error: &Error) {
        let reason = error.to_string();
        let mut topics = lock(&self.topics);
        let of_topic = topics.entry(topic.to_owned()).or_default();
        if of_topic.reason.as_ref() != Some(&reason) {
            tracing::warn!(topic, "the archive: {reason}");
            of_topic.reason = Some(reason);
        }
    }

    /// A topic is archived again.
    pub(crate) fn recovered(&self, topic: &str) {
        if let Some(topic) = lock(&self.topics).get_mut(topic) {
            topic.reason = None;
        }
    }

    /// The archiver of a topic ended, and nothing of it is archived any more.
    pub fn ended(&self, topic: &str) {
        let reason = format!("the archiver of {topic} ended by an error of its own; start the engine again");
        tracing::error!("{reason}");
        lock(&self.topics).entry(topic.to_owned()).or_default().reason = Some(reason);
    }

    /// Why something is not archived, one reason a line.
    pub fn reasons(&self) -> Vec<String> {
        let topics = lock(&self.topics);
        let of_partitions = |topic: &Topic| {
            topic
                .partitions
                .values()
                .filter_map(|partition| lock(&partition.reason).clone())
                .collect::<Vec<_>>()
        };
        topics.values().flat_map(|topic| topic.reason.iter().cloned().chain(of_partitions(topic))).collect()
    }

    /// Every partition's counters.
    pub fn snapshots(&self) -> Vec<Snapshot> {
        let topics = lock(&self.topics);
        let of_topic = |(topic, counters): (&String, &Topic)| {
            let snapshot = |(partition, counters): (&Partition, &Arc<PartitionCounters>)| Snapshot {
                topic: topic.clone(),
                partition: *partition,
                next: counters.next.load(Relaxed),
                lag: counters.lag.load(Relaxed),
                objects: counters.objects.load(Relaxed),
                records: counters.records.load(Relaxed),
                bytes: counters.bytes.load(Relaxed),
                conflicts: counters.conflicts.load(Relaxed),
                failures: counters.failures.load(Relaxed),
            };
            counters.partitions.iter().map(snapshot).collect::<Vec<_>>()
        };
        topics.iter().flat_map(of_topic).collect()
    }
}

impl PartitionCounters {
    /// It cannot be archived; said once for each reason.
    pub(crate) fn failed(&self, error: &Error) {
        self.failures.fetch_add(1, Relaxed);
        let reason = error.to_string();
        let mut said = lock(&self.reason);
        if said.as_ref() != Some(&reason) {
            match error.is_transient() {
                true => tracing::warn!("the archive: {reason}"),
                false => tracing::error!("the archive: {reason}"),
            }
            *said = Some(reason);
        }
    }

    /// Another archiver has it now.
    pub(crate) fn released(&self) {
        self.lag.store(0, Relaxed);
        self.recovered();
    }

    /// It is archived again.
    pub(crate) fn recovered(&self) {
        *lock(&self.reason) = None;
    }
}
