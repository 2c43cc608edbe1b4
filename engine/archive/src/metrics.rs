//! Metrics of the archivers, and the reasons why topics or partitions are not archived.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use pricedrop_model::Partition;
use pricedrop_model::sync::lock;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::error::Error;

/// The metrics of all topics.
#[derive(Debug, Default)]
pub struct Metrics {
    families: Families,
    topics: Mutex<BTreeMap<String, Topic>>,
}

type OfPartition = [(&'static str, String); 2];

#[derive(Debug, Default)]
struct Families {
    next: Family<OfPartition, Gauge>,
    lag: Family<OfPartition, Gauge>,
    objects: Family<OfPartition, Counter>,
    records: Family<OfPartition, Counter>,
    bytes: Family<OfPartition, Counter>,
    conflicts: Family<OfPartition, Counter>,
    failures: Family<OfPartition, Counter>,
}

#[derive(Debug, Default)]
struct Topic {
    /// Why the whole topic is not archived. `None` means it is.
    reason: Option<String>,
    partitions: BTreeMap<Partition, Arc<PartitionMetrics>>,
}

/// The metrics of one partition.
#[derive(Debug)]
pub struct PartitionMetrics {
    /// The first offset that the archive does not cover.
    pub next: Gauge,
    /// Number of offsets that are not in the archive yet.
    pub lag: Gauge,
    /// Objects that this process added to the archive.
    pub objects: Counter,
    /// Records in those objects.
    pub records: Counter,
    /// Bytes of those objects, compressed.
    pub bytes: Counter,
    /// Objects that were not added, because another archiver appended to the chain first.
    pub conflicts: Counter,
    /// Failed attempts to open, compare or append.
    pub failures: Counter,
    reason: Mutex<Option<String>>,
}

/// The current values of one partition's metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: Partition,
    /// The first offset that the archive does not cover.
    pub next: i64,
    /// Number of offsets that are not in the archive yet.
    pub lag: i64,
    /// Objects that this process added to the archive.
    pub objects: u64,
    /// Records in those objects.
    pub records: u64,
    /// Bytes of those objects, compressed.
    pub bytes: u64,
    /// Objects that were not added, because another archiver appended to the chain first.
    pub conflicts: u64,
    /// Failed attempts to open, compare or append.
    pub failures: u64,
}

impl Families {
    fn partition(&self, topic: &str, partition: Partition) -> PartitionMetrics {
        let labels = [("topic", topic.to_owned()), ("partition", partition.0.to_string())];
        PartitionMetrics {
            next: self.next.get_or_create_owned(&labels),
            lag: self.lag.get_or_create_owned(&labels),
            objects: self.objects.get_or_create_owned(&labels),
            records: self.records.get_or_create_owned(&labels),
            bytes: self.bytes.get_or_create_owned(&labels),
            conflicts: self.conflicts.get_or_create_owned(&labels),
            failures: self.failures.get_or_create_owned(&labels),
            reason: Mutex::default(),
        }
    }
}

impl Metrics {
    /// Registers the metrics.
    pub fn register(&self, registry: &mut Registry) {
        let Families { next, lag, objects, records, bytes, conflicts, failures } = &self.families;
        registry.register("archive_offset", "Records before it are in the archive", next.clone());
        registry.register("archive_lag", "Offsets that are not in the archive yet", lag.clone());
        for (name, help, counter) in [
            ("archive_objects", "Objects added to the archive", objects),
            ("archive_records", "Records added to the archive", records),
            ("archive_bytes", "Compressed bytes added to the archive", bytes),
            ("archive_conflicts", "Objects that another archiver added first", conflicts),
            ("archive_failures", "Attempts to archive that failed", failures),
        ] {
            registry.register(name, help, counter.clone());
        }
    }

    /// Returns the metrics of a partition, created on first use.
    pub(crate) fn partition(&self, name: &str, partition: Partition) -> Arc<PartitionMetrics> {
        let mut topics = lock(&self.topics);
        let topic = topics.entry(name.to_owned()).or_default();
        let metrics = topic.partitions.entry(partition);
        Arc::clone(metrics.or_insert_with(|| Arc::new(self.families.partition(name, partition))))
    }

    /// Notes that the whole topic cannot be archived. Logs each new reason once.
    pub(crate) fn failed(&self, topic: &str, error: &Error) {
        let reason = error.to_string();
        let mut topics = lock(&self.topics);
        let of_topic = topics.entry(topic.to_owned()).or_default();
        if of_topic.reason.as_ref() != Some(&reason) {
            tracing::warn!(topic, "the archive: {reason}");
            of_topic.reason = Some(reason);
        }
    }

    /// Notes that the topic is archived again.
    pub(crate) fn recovered(&self, topic: &str) {
        if let Some(topic) = lock(&self.topics).get_mut(topic) {
            topic.reason = None;
        }
    }

    /// Notes that the archiver's thread ended unexpectedly: the topic is not archived until a
    /// restart.
    pub fn ended(&self, topic: &str) {
        let reason = format!("the archiver of {topic} ended by an error of its own; start the engine again");
        tracing::error!("{reason}");
        lock(&self.topics).entry(topic.to_owned()).or_default().reason = Some(reason);
    }

    /// Returns why topics or partitions are not archived, one line per reason.
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

    /// Returns the current metrics of every partition.
    pub fn snapshots(&self) -> Vec<Snapshot> {
        let topics = lock(&self.topics);
        let of_topic = |(topic, metrics): (&String, &Topic)| {
            let snapshot = |(partition, metrics): (&Partition, &Arc<PartitionMetrics>)| Snapshot {
                topic: topic.clone(),
                partition: *partition,
                next: metrics.next.get(),
                lag: metrics.lag.get(),
                objects: metrics.objects.get(),
                records: metrics.records.get(),
                bytes: metrics.bytes.get(),
                conflicts: metrics.conflicts.get(),
                failures: metrics.failures.get(),
            };
            metrics.partitions.iter().map(snapshot).collect::<Vec<_>>()
        };
        topics.iter().flat_map(of_topic).collect()
    }
}

impl PartitionMetrics {
    /// Notes that the partition cannot be archived. Logs each new reason once.
    pub(crate) fn failed(&self, error: &Error) {
        self.failures.inc();
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

    /// Notes that the partition was revoked: it has no lag and no error here.
    pub(crate) fn released(&self) {
        self.lag.set(0);
        self.recovered();
    }

    /// Notes that the partition is archived again.
    pub(crate) fn recovered(&self) {
        *lock(&self.reason) = None;
    }
}
