//! The rebalance callback of a group member: partitions are assigned and revoked.
//!
//! Each assignment of a partition has a new epoch. A partition is paused when it is assigned. It is
//! not read before its acquisition, which decides the offset to start from.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use pricedrop_model::Partition;
use pricedrop_model::sync::lock;
use rdkafka::bindings::rd_kafka_resp_err_t as Code;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use crate::client::log::write_line;
use crate::client::raw::RecordQueue;
use crate::group::positions::Positions;

/// The assigned partitions and their epochs.
#[derive(Default)]
pub(crate) struct Assignment {
    pub(crate) epochs: BTreeMap<Partition, u64>,
    last_epoch: u64,
}

impl Assignment {
    /// Returns whether a partition is still assigned as it was in this epoch.
    pub(crate) fn holds(&self, partition: Partition, epoch: u64) -> bool {
        self.epochs.get(&partition) == Some(&epoch)
    }
}

/// The consumer's context, which carries out rebalances.
pub struct Group {
    topic: String,
    pub(crate) assignment: Mutex<Assignment>,
    /// Lock order: after `assignment`, if both are locked.
    pub(crate) positions: Mutex<Positions>,
    /// Whether the group has decided the assignment of this member, even if it is empty.
    pub(crate) known: AtomicBool,
    /// Changes with every rebalance.
    pub(crate) version: AtomicU64,
    pub(crate) queue: Mutex<Option<Arc<RecordQueue>>>,
    /// The last error that librdkafka reported.
    pub(crate) trouble: Mutex<Option<String>>,
}

impl ClientContext for Group {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        write_line(level as i32, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", "{error}: {reason}");
        *lock(&self.trouble) = Some(format!("{error}: {reason}"));
    }
}

impl ConsumerContext for Group {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Group>,
        event: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        // Waits until an open transaction has ended.
        let mut assignment = lock(&self.assignment);
        let cooperative = matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let moved: Vec<i32> = partitions.elements().iter().map(|one| one.partition()).collect();
        let done = if event == Code::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            for partition in &moved {
                assignment.last_epoch += 1;
                let epoch = assignment.last_epoch;
                assignment.epochs.insert(Partition(*partition), epoch);
            }
            self.assign(consumer, &moved, cooperative)
        } else {
            let lost = consumer.assignment_lost();
            moved.iter().for_each(|partition| {
                assignment.epochs.remove(&Partition(*partition));
            });
            tracing::info!(topic = self.topic, partitions = ?moved, lost, "partitions revoked");
            if cooperative { consumer.incremental_unassign(partitions) } else { consumer.unassign() }
        };
        if let Err(error) = done {
            tracing::error!(%error, topic = self.topic, partitions = ?moved, "a rebalance failed");
        }
        moved.iter().for_each(|partition| lock(&self.positions).forget(Partition(*partition)));
        self.version.fetch_add(1, Ordering::SeqCst);
        // Stored after the version, so that no caller applies this value to the previous version.
        let known = event == Code::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS || !assignment.epochs.is_empty();
        self.known.store(known, Ordering::SeqCst);
        drop(assignment);
        if let Some(queue) = lock(&self.queue).as_ref() {
            queue.wake();
        }
    }
}

impl Group {
    /// Returns the context of a member that reads this topic.
    pub(crate) fn of(topic: &str) -> Group {
        Group {
            topic: topic.to_owned(),
            assignment: Mutex::default(),
            positions: Mutex::default(),
            known: AtomicBool::new(false),
            version: AtomicU64::new(1),
            queue: Mutex::default(),
            trouble: Mutex::default(),
        }
    }

    /// Assigns partitions without reading them yet.
    ///
    /// They are paused first and assigned with a number as offset, so nothing is fetched before
    /// the first seek, and no end offset is looked up. The response to such a lookup, or to its retry, may arrive
    /// after that seek; librdkafka would then continue there and skip the records in between
    /// (librdkafka issue 2256).
    fn assign(
        &self,
        consumer: &BaseConsumer<Group>,
        partitions: &[i32],
        cooperative: bool,
    ) -> KafkaResult<()> {
        tracing::info!(topic = self.topic, ?partitions, "partitions assigned");
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition_offset(&self.topic, *partition, Offset::Offset(0))?;
        }
        // Looking up its queue makes a partition known to librdkafka, which pauses no unknown
        // ones.
        if let Some(queue) = lock(&self.queue).as_ref() {
            partitions.iter().for_each(|partition| queue.attach(consumer, &self.topic, *partition));
        }
        let paused = if partitions.is_empty() { Ok(()) } else { consumer.pause(&list) };
        // Called even if pausing failed, because the group waits for it.
        if cooperative {
            consumer.incremental_assign(&list)?
        } else {
            consumer.assign(&list)?
        }
        paused?;
        list.elements().iter().try_for_each(|one| one.error())
    }
}
