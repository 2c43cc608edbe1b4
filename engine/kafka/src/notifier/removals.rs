//! Removes `once` watches that were notified. The owner of a partition carries out the removals in
//! it, also those that earlier owners committed.
//!
//! A removal names a version of a row, so repeating it does nothing. That is why offsets are
//! committed after the removals, outside any transaction.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use pricedrop_model::ports::{Error, WatchWriter};
use pricedrop_model::sync::lock;
use pricedrop_model::{Partition, Removal};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::client::assign::assign;
use crate::client::log::Logged;
use crate::client::queries::unavailable;
use crate::client::reserved_keys::is_empty_marker;
use crate::group::group_consumer::GroupConsumer;
use crate::limits::{CALL_MS, REMOVAL_PAUSE_MS, REMOVAL_POLL_MS, REMOVALS};
use crate::notifier::metrics::Metrics;
use crate::notifier::states::Shared;
use crate::settings::Settings;

/// A running remover. It stops when it is dropped.
pub struct Remover {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Remover {
    pub(crate) fn start(
        settings: Settings,
        member: Arc<GroupConsumer>,
        shared: Shared,
        watches: Arc<dyn WatchWriter>,
        metrics: Metrics,
    ) -> std::io::Result<Remover> {
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let run = move || {
            let mut work =
                Work { settings, member, shared, watches, metrics, reading: BTreeMap::new(), runtime };
            let mut said = String::new();
            while !told.load(Ordering::SeqCst) {
                let Err(error) = work.until_stopped(&told) else { return };
                if said != error.to_string() {
                    said = error.to_string();
                    tracing::warn!(%error, "notified watches are not removed yet; they do not fire");
                }
                std::thread::park_timeout(Duration::from_millis(REMOVAL_PAUSE_MS));
            }
        };
        let thread = std::thread::Builder::new().name("kafka-removals".into()).spawn(run)?;
        Ok(Remover { stop, thread: Some(thread) })
    }
}

impl Drop for Remover {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

struct Work {
    settings: Settings,
    member: Arc<GroupConsumer>,
    shared: Shared,
    watches: Arc<dyn WatchWriter>,
    metrics: Metrics,
    /// The epochs of the partitions that are read.
    reading: BTreeMap<Partition, u64>,
    runtime: tokio::runtime::Runtime,
}

/// Partition and offset of a record, and its removal. `None` means the record is skipped.
type Found = (Partition, i64, Option<Removal>);

impl Work {
    fn until_stopped(&mut self, stop: &AtomicBool) -> Result<(), Error> {
        self.reading.clear();
        let mut config = self.settings.reader();
        config.set("group.id", format!("{}.remover", self.settings.group));
        // If the next removals expired, continues with the oldest that is kept.
        config.set("auto.offset.reset", "earliest");
        let consumer: BaseConsumer<Logged> =
            BaseConsumer::from_config_and_context(&config, Logged::default()).map_err(unavailable)?;
        while !stop.load(Ordering::SeqCst) {
            self.follow(&consumer)?;
            let found = self.read(&consumer)?;
            if !found.is_empty() {
                self.remove_watches(&consumer, found)?;
            }
        }
        Ok(())
    }

    /// Reads the partitions that are served now, from the remover's committed offsets.
    fn follow(&mut self, consumer: &BaseConsumer<Logged>) -> Result<(), Error> {
        let owned = lock(&self.shared).sessions.epochs();
        if owned == self.reading {
            return Ok(());
        }
        let topic = &self.settings.topics.removals;
        let mut list = TopicPartitionList::new();
        for partition in owned.keys() {
            list.add_partition(topic, partition.0);
        }
        let committed =
            consumer.committed_offsets(list, Duration::from_millis(CALL_MS)).map_err(unavailable)?;
        let mut from = TopicPartitionList::new();
        for one in committed.elements() {
            let offset = match one.offset() {
                Offset::Offset(offset) => Offset::Offset(offset),
                _ => Offset::Beginning,
            };
            from.add_partition_offset(topic, one.partition(), offset).map_err(unavailable)?;
        }
        assign(consumer, &from).map_err(unavailable)?;
        self.reading = owned;
        Ok(())
    }

    fn read(&self, consumer: &BaseConsumer<Logged>) -> Result<Vec<Found>, Error> {
        let mut found = Vec::new();
        let mut wait = Duration::from_millis(REMOVAL_POLL_MS);
        while found.len() < REMOVALS {
            let Some(message) = consumer.poll(wait) else { break };
            let message = message.map_err(unavailable)?;
            let removal = message.payload().and_then(|bytes| serde_json::from_slice(bytes).ok());
            if removal.is_none() && !is_empty_marker(message.key(), message.payload()) {
                tracing::error!(offset = message.offset(), "a removal cannot be read; it is skipped");
            }
            found.push((Partition(message.partition()), message.offset(), removal));
            wait = Duration::ZERO;
        }
        Ok(found)
    }

    /// Carries out removals. In each partition it stops at the first whose product has an
    /// unfinished fan-out, because a resumed fan-out reads its first rows again.
    fn remove_watches(&mut self, consumer: &BaseConsumer<Logged>, found: Vec<Found>) -> Result<(), Error> {
        let mut next: BTreeMap<Partition, i64> = BTreeMap::new();
        let mut put_off: BTreeMap<Partition, i64> = BTreeMap::new();
        let mut removals = Vec::new();
        // A partition that was lost is the next owner's; this worker does not know its fan-outs.
        let held: BTreeMap<Partition, u64> = self.member.held().into_iter().collect();
        {
            let shared = lock(&self.shared);
            for (partition, offset, removal) in found {
                if put_off.contains_key(&partition) {
                    continue;
                }
                let session = shared.sessions.get(partition);
                let ours = session.filter(|session| held.get(&partition) == Some(&session.epoch));
                let waits = removal.as_ref().is_some_and(|removal| {
                    ours.is_none_or(|session| session.kept.states.has_open_fan_out(&removal.product))
                });
                if waits {
                    put_off.insert(partition, offset);
                } else {
                    next.insert(partition, offset + 1);
                    removals.extend(removal);
                }
            }
        }
        if !removals.is_empty() {
            self.runtime.block_on(self.watches.remove_told(&removals))?;
            self.metrics.removals.inc_by(removals.len() as u64);
        }
        let topic = &self.settings.topics.removals;
        if !next.is_empty() {
            let mut done = TopicPartitionList::new();
            for (partition, offset) in next {
                done.add_partition_offset(topic, partition.0, Offset::Offset(offset)).map_err(unavailable)?;
            }
            consumer.commit(&done, CommitMode::Sync).map_err(unavailable)?;
        }
        if !put_off.is_empty() {
            // Read again from the committed offsets, after `REMOVAL_POLL_MS`.
            self.reading.clear();
            std::thread::park_timeout(Duration::from_millis(REMOVAL_POLL_MS));
        }
        Ok(())
    }
}
