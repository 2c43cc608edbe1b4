//! A member of a consumer group: tracks which partitions are assigned to it, in which epoch, and
//! reads their records.
//!
//! ```text
//! events thread ── Group::rebalance ──▶ Assignment (epochs) ◀── fence ── transactions
//! partitions ──▶ RecordQueue ──▶ read                       (the same lock)
//! ```
//!
//! Invariant: while `fenced` runs, no rebalance callback returns. So a transaction sends its
//! offsets and commits while this member owns its partitions, or not at all.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pricedrop_model::ports::Error;
use pricedrop_model::sync::{lock, try_lock};
use pricedrop_model::{Cause, Partition, Record};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use crate::client::queries::{GroupOffset, OFFSET_METADATA, committed, partitions_of, unavailable};
use crate::client::raw::{GroupMetadata, RecordQueue};
use crate::group::rebalance::Group;
use crate::limits::{CALL_MS, EVENT_POLL_MS, SEEK_AGAIN_MS};
use crate::settings::Settings;

/// A partition and the epoch of its assignment. Each assignment has a new epoch.
pub type PartitionEpoch = (Partition, u64);

/// A member of a group that reads one topic.
pub struct GroupConsumer {
    topic: String,
    /// Set for the group protocol `consumer`. A member that is assigned nothing gets no event
    /// there, so membership alone counts as an assignment.
    membership_suffices: bool,
    stop: Arc<AtomicBool>,
    events: Option<JoinHandle<()>>,
    /// Whether the member left its group so that its partitions are assigned again.
    has_left: AtomicBool,
    /// Held during a seek, which takes long. Rebalances and reads do not wait for it. Lock order:
    /// before the assignment.
    seeking: Mutex<()>,
    // Dropped in this order: the queue must not outlive its consumer.
    queue: Option<Arc<RecordQueue>>,
    consumer: Arc<BaseConsumer<Group>>,
}

/// Why a fenced call was not made.
#[derive(Debug, thiserror::Error)]
pub enum NotOurs {
    /// A partition is not assigned to this member, or is in a later epoch.
    #[error("partition {} was reassigned", .0.0)]
    Reassigned(Partition),
    /// The consumer is not a member of the group at the moment.
    #[error("not a member of a generation of the group")]
    NoMember,
}

impl GroupConsumer {
    /// Joins a group to read a topic.
    ///
    /// # Errors
    /// `Fatal`: the configuration is invalid, or no thread can be started.
    pub fn join(settings: &Settings, group: &str, topic: &str) -> Result<GroupConsumer, Error> {
        let refused = |error: KafkaError| Error::Fatal(Cause::new("the Kafka consumer", error));
        let context = Group::of(topic);
        let consumer = BaseConsumer::from_config_and_context(&settings.member(group), context);
        let consumer = Arc::new(consumer.map_err(refused)?);
        let queue = Arc::new(RecordQueue::of(&consumer));
        *lock(&consumer.context().queue) = Some(queue.clone());
        consumer.subscribe(&[topic]).map_err(refused)?;
        let stop = Arc::new(AtomicBool::new(false));
        let events = {
            let (consumer, stop) = (consumer.clone(), stop.clone());
            let run = move || serve_events(&consumer, &stop);
            std::thread::Builder::new().name("kafka-events".into()).spawn(run)
        };
        let events =
            events.map_err(|error| Error::Fatal(Cause::new("no thread for Kafka's events", error)))?;
        let membership_suffices =
            settings.properties.get("group.protocol").is_some_and(|name| name == "consumer");
        Ok(GroupConsumer {
            topic: topic.to_owned(),
            membership_suffices,
            stop,
            events: Some(events),
            has_left: AtomicBool::new(false),
            seeking: Mutex::default(),
            queue: Some(queue),
            consumer,
        })
    }

    /// Returns the topic it reads.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Returns a number that changes with every rebalance.
    pub fn version(&self) -> u64 {
        self.consumer.context().version.load(Ordering::SeqCst)
    }

    /// Checks that work which is useful only until the next rebalance is still useful.
    ///
    /// # Errors
    /// `Rebalanced`: a rebalance occurred since this version.
    pub fn check_version(&self, version: u64) -> Result<(), Error> {
        match self.version() == version {
            true => Ok(()),
            false => {
                Err(Error::Rebalanced(format!("partitions of {} came or went meanwhile", self.topic).into()))
            }
        }
    }

    /// Returns whether the group has decided the assignment of this member, even if it is empty, and
    /// no rebalance occurred since `version`. Does not wait for a transaction.
    pub fn assignment_is_ready(&self, version: u64) -> bool {
        let is_known = self.consumer.context().known.load(Ordering::SeqCst);
        let is_member = || GroupMetadata::of(&self.consumer).is_some_and(|group| group.is_member());
        self.version() == version && (is_known || self.membership_suffices && is_member())
    }

    /// Returns the partitions that are assigned now, with their epochs.
    pub fn held(&self) -> Vec<PartitionEpoch> {
        lock(&self.consumer.context().assignment).epochs.iter().map(|(p, epoch)| (*p, *epoch)).collect()
    }

    /// Takes the last error that librdkafka reported.
    pub fn trouble(&self) -> Option<String> {
        lock(&self.consumer.context().trouble).take()
    }

    /// Runs `call` while all of these partitions are assigned in these epochs to a known member. No
    /// rebalance can occur during the call.
    ///
    /// # Errors
    /// A partition is not assigned in this epoch, or the group does not know this member.
    pub fn fenced<T>(
        &self,
        held: &[PartitionEpoch],
        call: impl FnOnce(&GroupMetadata) -> T,
    ) -> Result<T, NotOurs> {
        let assignment = lock(&self.consumer.context().assignment);
        if let Some((moved, _)) = held.iter().find(|(p, epoch)| assignment.epochs.get(p) != Some(epoch)) {
            return Err(NotOurs::Reassigned(*moved));
        }
        let metadata = GroupMetadata::of(&self.consumer).filter(GroupMetadata::is_member);
        let answer = call(&metadata.ok_or(NotOurs::NoMember)?);
        drop(assignment);
        Ok(answer)
    }

    /// Returns up to `most` records that were fetched already, in order in each partition.
    pub fn read(&self, most: usize) -> Vec<Record> {
        let Some(queue) = &self.queue else { return Vec::new() };
        // Locked during the read: a record that was fetched before a seek ended must not count as a
        // record after that seek.
        let mut positions = lock(&self.consumer.context().positions);
        let fetched = queue.read(most).into_iter();
        let records = fetched.filter_map(|fetched| positions.take(&self.topic, fetched)).collect();
        let want = positions.want() || self.has_left.load(Ordering::SeqCst);
        drop(positions);
        if want {
            self.seek_again();
        }
        records
    }

    /// Waits until records arrive, a rebalance occurs, or this time has passed.
    pub async fn wait(&self, wait: Duration) {
        if let Some(queue) = &self.queue {
            let _ = tokio::time::timeout(wait, queue.filled()).await;
        }
    }

    /// Reads the group's committed offsets of these partitions; partitions without one are left
    /// out. Waits for pending transactions that send offsets.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub fn committed(&self, partitions: &[Partition]) -> Result<BTreeMap<Partition, GroupOffset>, Error> {
        committed(&self.consumer, &self.topic, partitions)
    }

    /// Commits offsets outside a transaction.
    ///
    /// # Errors
    /// The cluster does not answer, or the group does not know this member.
    pub fn commit(&self, offsets: &[(Partition, GroupOffset)]) -> Result<(), Error> {
        self.consumer.commit(&self.to_commit(offsets), CommitMode::Sync).map_err(unavailable)
    }

    /// Reads the first offset of a partition, and its last stable offset.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub fn watermarks(&self, partition: Partition) -> Result<(i64, i64), Error> {
        let wait = Duration::from_millis(CALL_MS);
        self.consumer.fetch_watermarks(&self.topic, partition.0, wait).map_err(unavailable)
    }

    /// Reads how many partitions the topic has.
    ///
    /// # Errors
    /// The cluster does not answer, or the topic is missing.
    pub fn partitions(&self) -> Result<usize, Error> {
        partitions_of(&self.consumer, &self.topic)
    }

    /// Pauses these partitions. Partitions that are no longer assigned are left out.
    pub fn pause(&self, partitions: &[Partition]) {
        let assignment = lock(&self.consumer.context().assignment);
        let ours = partitions.iter().filter(|partition| assignment.epochs.contains_key(partition));
        let list = self.list(ours.map(|partition| (*partition, 0)));
        if list.count() > 0
            && let Err(error) = self.consumer.pause(&list)
        {
            tracing::debug!(%error, "pausing partitions");
        }
    }

    /// Resumes paused partitions at their next offsets.
    pub fn unpause(&self, partitions: &[Partition]) {
        let offsets = {
            let positions = lock(&self.consumer.context().positions);
            partitions
                .iter()
                .filter_map(|partition| Some((*partition, positions.next_of(*partition)?)))
                .collect::<Vec<_>>()
        };
        self.resume(&offsets);
    }

    /// Reads these partitions from these offsets, and pauses all others.
    pub fn read_only(&self, offsets: &[(Partition, i64)]) {
        let others = lock(&self.consumer.context().positions).stop_others(offsets);
        self.pause(&others);
        self.resume(offsets);
    }

    /// Reads these partitions from these offsets. Partitions that are no longer assigned are left
    /// out; those that librdkafka cannot read are given up, and assigned again.
    pub fn resume(&self, offsets: &[(Partition, i64)]) {
        let _seeking = lock(&self.seeking);
        let wanted = self.begin_seek(offsets);
        if wanted.is_empty() {
            return;
        }
        let list = self.list(wanted.iter().map(|(partition, _, offset)| (*partition, *offset)));
        let paused = self.consumer.pause(&list);
        let lost = self.seek_until_ours_are_sought(&wanted);
        self.end_seek(&wanted, &lost, paused);
    }

    /// Returns those of these partitions that are assigned, with epoch and offset. Their records
    /// are dropped until the seek has ended.
    fn begin_seek(&self, offsets: &[(Partition, i64)]) -> Vec<(Partition, u64, i64)> {
        let assignment = lock(&self.consumer.context().assignment);
        let mut positions = lock(&self.consumer.context().positions);
        let mut wanted = Vec::new();
        for (partition, offset) in offsets {
            if let Some(epoch) = assignment.epochs.get(partition)
                && !positions.is_given_up(*partition)
            {
                positions.stop(*partition);
                wanted.push((*partition, *epoch, *offset));
            }
        }
        wanted
    }

    /// Seeks repeatedly, up to a limit, because librdkafka cannot seek in a partition that was only
    /// just assigned. Returns the partitions in which it could not.
    fn seek_until_ours_are_sought(&self, wanted: &[(Partition, u64, i64)]) -> Vec<(Partition, i64)> {
        let until = Instant::now() + Duration::from_millis(CALL_MS);
        let mut lost = self.seek(&wanted.iter().map(|(p, _, offset)| (*p, *offset)).collect::<Vec<_>>());
        loop {
            let held = self.held();
            lost.retain(|(partition, _)| {
                wanted
                    .iter()
                    .any(|(wanted, epoch, _)| wanted == partition && held.contains(&(*wanted, *epoch)))
            });
            if lost.is_empty() || Instant::now() >= until {
                return lost;
            }
            std::thread::sleep(Duration::from_millis(SEEK_AGAIN_MS));
            lost = self.seek(&lost);
        }
    }

    /// Reads those of these partitions whose epoch is the same as before the seek.
    fn end_seek(
        &self,
        wanted: &[(Partition, u64, i64)],
        lost: &[(Partition, i64)],
        paused: Result<(), KafkaError>,
    ) {
        let assignment = lock(&self.consumer.context().assignment);
        let mut positions = lock(&self.consumer.context().positions);
        let ours = || wanted.iter().filter(|(partition, epoch, _)| assignment.holds(*partition, *epoch));
        for (partition, _, offset) in ours() {
            match lost.contains(&(*partition, *offset)) {
                true => positions.give_up(*partition),
                false => positions.start(*partition, *offset),
            }
        }
        let list = self.list(ours().map(|(partition, _, offset)| (*partition, *offset)));
        if let Err(error) = paused.and_then(|()| self.consumer.resume(&list)) {
            tracing::warn!(%error, topic = self.topic, "assigned partitions cannot be read");
            ours().for_each(|(partition, _, _)| positions.give_up(*partition));
        }
    }

    /// Seeks again in partitions whose position librdkafka lost. If it can no longer read a
    /// partition, leaves the group and joins it again, so that the partition is assigned again. Does
    /// nothing while a transaction commits.
    fn seek_again(&self) {
        let Some(_seeking) = try_lock(&self.seeking) else { return };
        let group = self.consumer.context();
        let Some(assignment) = try_lock(&group.assignment) else { return };
        let to_seek: Vec<_> = lock(&group.positions)
            .lost_positions()
            .into_iter()
            .filter_map(|(partition, next)| Some((partition, *assignment.epochs.get(&partition)?, next)))
            .collect();
        drop(assignment);
        // No record of a partition that needs a seek counts until the seek has ended.
        let offsets: Vec<_> = to_seek.iter().map(|(partition, _, next)| (*partition, *next)).collect();
        let lost = if offsets.is_empty() { Vec::new() } else { self.seek(&offsets) };
        let leave = {
            let assignment = lock(&group.assignment);
            let mut positions = lock(&group.positions);
            for (partition, epoch, next) in to_seek {
                match lost.contains(&(partition, next)) {
                    _ if !assignment.holds(partition, epoch) => {}
                    true => positions.seek_failed(partition),
                    false => positions.start(partition, next),
                }
            }
            assignment.epochs.keys().any(|partition| positions.is_given_up(*partition))
        };
        if self.has_left.swap(leave, Ordering::SeqCst) == leave {
            return;
        }
        if leave {
            tracing::info!(topic = self.topic, "leaving the group to join it again");
            self.consumer.unsubscribe();
        } else if let Err(error) = self.consumer.subscribe(&[&self.topic]) {
            tracing::warn!(%error, topic = self.topic, "joining the group again");
            self.has_left.store(true, Ordering::SeqCst);
        }
    }

    /// Builds the list of offsets to commit, with the metadata that says whether an engine
    /// committed them.
    ///
    /// # Panics
    /// An offset is negative.
    pub fn to_commit(&self, offsets: &[(Partition, GroupOffset)]) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets {
            let mut added = list.add_partition(&self.topic, partition.0);
            added.set_offset(Offset::Offset(offset.next)).expect("an offset that is not negative");
            if offset.by_engine {
                added.set_metadata(OFFSET_METADATA);
            }
        }
        list
    }

    /// Builds a list of offsets of its topic, in the type of librdkafka.
    ///
    /// # Panics
    /// An offset is negative.
    fn list(&self, offsets: impl Iterator<Item = (Partition, i64)>) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets {
            list.add_partition_offset(&self.topic, partition.0, Offset::Offset(offset))
                .expect("an offset that is not negative");
        }
        list
    }

    /// Seeks in these partitions. Returns those in which librdkafka cannot seek.
    fn seek(&self, offsets: &[(Partition, i64)]) -> Vec<(Partition, i64)> {
        let list = self.list(offsets.iter().copied());
        let Ok(sought) = self.consumer.seek_partitions(list, Duration::from_millis(CALL_MS)) else {
            return offsets.to_vec();
        };
        let failed = |(partition, _): &&(Partition, i64)| {
            let one = sought.find_partition(&self.topic, partition.0);
            one.is_none_or(|one| one.error().is_err())
        };
        offsets.iter().filter(failed).copied().collect()
    }
}

impl Drop for GroupConsumer {
    /// Leaves the group.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(events) = self.events.take() {
            let _ = events.join();
        }
        lock(&self.consumer.context().queue).take();
        self.queue.take();
    }
}

/// Serves callbacks on a thread that does nothing else, so a rebalance never waits for this process
/// longer than one transaction takes.
fn serve_events(consumer: &BaseConsumer<Group>, stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        match consumer.poll(Duration::from_millis(EVENT_POLL_MS)) {
            // Records arrive in a queue of their own. One that was fetched before its partition was
            // paused is read again from the offset of the acquisition.
            None | Some(Ok(_)) => {}
            Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                *lock(&consumer.context().trouble) = Some(format!("the consumer ended: {code}"));
                tracing::error!(%code, "the Kafka consumer ended");
            }
            Some(Err(error)) => {
                tracing::debug!(%error, "the Kafka consumer reports");
                *lock(&consumer.context().trouble) = Some(error.to_string());
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rdkafka::ClientConfig;
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// A real broker answers too soon for this test: the answer to a question that librdkafka asked
    /// about an assignment would arrive after the first seek, and undo it.
    #[test]
    fn a_late_answer_does_not_move_the_position_of_an_acquired_partition() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("topic", 1, 1).unwrap();
        let producer: BaseProducer =
            ClientConfig::new().set("bootstrap.servers", cluster.bootstrap_servers()).create().unwrap();
        let send_three = || {
            for _ in 0..3 {
                producer.send(BaseRecord::<(), str>::to("topic").payload("a price")).unwrap();
            }
            producer.flush(PATIENCE).unwrap();
        };
        send_three();
        cluster.broker_round_trip_time(1, Duration::from_millis(100)).unwrap();
        let member =
            GroupConsumer::join(&Settings::new(&cluster.bootstrap_servers()), "group", "topic").unwrap();
        let until = Instant::now() + PATIENCE;
        while member.held().is_empty() {
            assert!(Instant::now() < until, "nothing was assigned");
            std::thread::yield_now();
        }
        member.resume(&[(Partition(0), 0)]);
        let mut read = 0;
        for sent in [3, 6] {
            while read < sent {
                assert!(Instant::now() < until, "{read} of {sent} were read");
                read += member.read(10).len();
                std::thread::yield_now();
            }
            if sent == 3 {
                send_three();
            }
        }
    }

    /// A broker does not check offsets that are sent without the metadata of a member.
    #[test]
    fn a_member_unknown_to_the_group_may_send_no_offsets() {
        let member = GroupConsumer::join(&Settings::new("127.0.0.1:9"), "group", "topic").unwrap();
        let sent = member.fenced(&[], |_| panic!("something would be sent"));
        assert!(matches!(sent, Err(NotOurs::NoMember)));
    }
}
