//! What a group tells its member: partitions come, and partitions go.
//!
//! Each assignment of a partition has an epoch. A new one is assigned paused:
//! it is read only after it was taken over, from the offset that is then known.

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

/// What rebalances change.
#[derive(Default)]
pub(crate) struct Assignment {
    pub(crate) epochs: BTreeMap<Partition, u64>,
    last_epoch: u64,
}

impl Assignment {
    /// Whether a partition is still assigned as it was in this epoch.
    pub(crate) fn holds(&self, partition: Partition, epoch: u64) -> bool {
        self.epochs.get(&partition) == Some(&epoch)
    }
}

/// The consumer's context: it carries rebalances out.
pub struct Group {
    topic: String,
    pub(crate) assignment: Mutex<Assignment>,
    /// Locked behind the assignment, where both are.
    pub(crate) positions: Mutex<Positions>,
    /// Whether the group said what is ours, be it nothing.
    pub(crate) known: AtomicBool,
    /// Changes with every rebalance.
    pub(crate) version: AtomicU64,
    pub(crate) queue: Mutex<Option<Arc<RecordQueue>>>,
    /// What the client complained of last.
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
        // Waits for a transaction that is open: it is finished first.
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
            tracing::error!(%error, topic = self.topic, partitions = ?moved, "a rebalance was not carried out");
        }
        moved.iter().for_each(|partition| lock(&self.positions).forget(Partition(*partition)));
        self.version.fetch_add(1, Ordering::SeqCst);
        // Behind the version, so that nobody takes this for known of the one before.
        let known = event == Code::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS || !assignment.epochs.is_empty();
        self.known.store(known, Ordering::SeqCst);
        drop(assignment);
        if let Some(queue) = lock(&self.queue).as_ref() {
            queue.wake();
        }
    }
}

impl Group {
    /// Of a member that reads this topic.
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
    /// They are paused first, and begin at a number: so nothing is fetched before
    /// the first seek, and no end of a partition is looked up. The answer to such a
    /// question, or to one asked again, may come behind that seek, and the client
    /// would go on there and leave out what lies between (librdkafka issue 2256).
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
        // That makes those known which the client never met, for it pauses no others.
        if let Some(queue) = lock(&self.queue).as_ref() {
            partitions.iter().for_each(|partition| queue.take_over(consumer, &self.topic, *partition));
        }
        let paused = if partitions.is_empty() { Ok(()) } else { consumer.pause(&list) };
        // Whatever became of that, the group waits for this call.
        if cooperative {
            consumer.incremental_assign(&list)?
        } else {
            consumer.assign(&list)?
        }
        paused?;
        list.elements().iter().try_for_each(|one| one.error())
    }
}
