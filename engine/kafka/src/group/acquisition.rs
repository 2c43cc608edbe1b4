//! Acquires assigned partitions before they are read, in the same way for notifiers and
//! dispatchers:
//!
//! 1. check that the owner's topics have as many partitions as the topic that is read;
//! 2. end transactions that earlier producers left open;
//! 3. let the owner decide from which offset each partition is read;
//! 4. commit a transaction with a marker, which has a fresh token, and those offsets;
//! 5. let the owner read what is stored, up to that marker.
//!
//! Invariant: step 4 fences off the previous owner. Its transactions send offsets too, and the
//! group no longer knows its member, so it can commit nothing after the marker.

use std::collections::BTreeMap;

use pricedrop_model::Partition;
use pricedrop_model::ports::{CommitError, Error};
use rdkafka::consumer::BaseConsumer;

use crate::client::log::Logged;
use crate::client::marker_reader::{LogRecord, last_of_each, open_partitions, reader, reader_of_all};
use crate::client::queries::{GroupOffset, committed, partitions_of};
use crate::client::raw::{Records, Value};
use crate::client::reserved_keys::{MARKER, Position};
use crate::client::token::fresh_token;
use crate::group::group_consumer::{GroupConsumer, PartitionEpoch};
use crate::group::hanging::{Ending, StoredPositions, ending};
use crate::group::transactions::{Fence, Transactions};
use crate::settings::Settings;

/// The offset from which each partition is read, or why an operator has to decide.
pub type FirstOffsets = BTreeMap<Partition, Result<GroupOffset, String>>;

/// What differs between a notifier and a dispatcher.
pub trait Owner {
    /// What is stored about a partition.
    type Stored;

    /// Returns the topic that stores it. It has as many partitions as the topic that is read.
    fn topic(&self) -> &str;

    /// Returns the other topics that its transactions write to.
    fn other_topics(&self) -> Vec<&str>;

    /// Returns the topics that must have as many partitions as the topic that is read.
    fn topics_by_partition(&self) -> Vec<&str>;

    /// Returns the position in this record of its topic; none if it is another record.
    fn position(&self, line: &LogRecord<'_>) -> Option<Position>;

    /// Appends a marker to `records`, which are sent to the owner's topic. `first` is the offset
    /// from which the partition is read. It is set only if the group has no committed offset or a
    /// different one.
    fn push_marker(&self, records: &mut Records, partition: Partition, token: u64, first: Option<i64>);

    /// Decides from which offset each partition is read, given the group's committed offsets.
    ///
    /// # Errors
    /// The cluster does not answer, or an operator has to act.
    fn first_offsets(
        &self,
        reader: &BaseConsumer<Logged>,
        partitions: &[Partition],
        committed: &BTreeMap<Partition, GroupOffset>,
    ) -> Result<FirstOffsets, Error>;

    /// Reads what is stored about these partitions, up to the marker with this token.
    ///
    /// # Errors
    /// The cluster does not answer, or partitions were reassigned.
    fn read_stored(
        &self,
        reader: &BaseConsumer<Logged>,
        partitions: &[Partition],
        token: u64,
    ) -> Result<BTreeMap<Partition, Self::Stored>, Error>;
}

/// A partition that was acquired.
pub struct Acquired<S> {
    /// The partition and the epoch of its assignment.
    pub held: PartitionEpoch,
    /// The offset from which it is read.
    pub offset: GroupOffset,
    /// Whether the group had another committed offset, or none.
    pub first: bool,
    /// What is stored about the partition.
    pub stored: S,
}

/// The result of an acquisition.
pub struct Outcome<S> {
    /// Partitions that can be read.
    pub acquired: Vec<Acquired<S>>,
    /// Partitions that wait for an operator, with the reason.
    pub stopped: BTreeMap<Partition, String>,
    /// The partition count of the topic that is read; 0 if there was nothing to acquire.
    pub partition_count: usize,
}

/// An acquisition by one worker.
pub struct Acquisition<'a, O> {
    /// The cluster and the topics.
    pub settings: &'a Settings,
    /// The consumer group.
    pub group: &'a str,
    /// The worker's member of the group.
    pub member: &'a GroupConsumer,
    /// The worker's producer.
    pub transactions: &'a mut Transactions,
    /// The notifier or the dispatcher.
    pub owner: &'a O,
}

impl<O: Owner> Acquisition<'_, O> {
    /// Acquires these partitions, and writes `token` into their markers. Without partitions it only
    /// ends what earlier producers left open, because this member may have had partitions before.
    ///
    /// # Errors
    /// The cluster does not answer; partitions were reassigned; or an operator has to act.
    pub fn run(&mut self, held: &[PartitionEpoch], token: u64) -> Result<Outcome<O::Stored>, Error> {
        if held.is_empty() {
            self.end_hanging(held)?;
            return Ok(Outcome { acquired: Vec::new(), stopped: BTreeMap::new(), partition_count: 0 });
        }
        let reader = reader(self.settings)?;
        let partition_count = self.compare_partition_counts(&reader)?;
        self.end_hanging(held)?;
        let partitions: Vec<Partition> = held.iter().map(|(partition, _)| *partition).collect();
        let committed = self.member.committed(&partitions)?;
        let mut first = self.owner.first_offsets(&reader, &partitions, &committed)?;
        let (mut ours, mut stopped) = (Vec::new(), BTreeMap::new());
        for (partition, epoch) in held {
            match first.remove(partition) {
                Some(Ok(offset)) => ours.push(((*partition, *epoch), offset)),
                Some(Err(why)) => drop(stopped.insert(*partition, why)),
                None => {}
            }
        }
        let is_first = |partition: Partition, offset: GroupOffset| committed.get(&partition) != Some(&offset);
        let acquired = self.take(&reader, ours, token, is_first)?;
        Ok(Outcome { acquired, stopped, partition_count })
    }

    /// Reads again what is stored about partitions that this worker has acquired before.
    ///
    /// # Errors
    /// The cluster does not answer, or partitions were reassigned.
    pub fn run_again(
        &mut self,
        ours: Vec<(PartitionEpoch, i64)>,
        token: u64,
    ) -> Result<Vec<Acquired<O::Stored>>, Error> {
        let held: Vec<PartitionEpoch> = ours.iter().map(|(held, _)| *held).collect();
        self.end_hanging(&held)?;
        let ours = ours.into_iter().map(|(held, next)| (held, GroupOffset::of_engine(next))).collect();
        self.take(&reader(self.settings)?, ours, token, |_, _| false)
    }

    /// Carries out steps 4 and 5.
    fn take(
        &mut self,
        reader: &BaseConsumer<Logged>,
        ours: Vec<(PartitionEpoch, GroupOffset)>,
        token: u64,
        is_first: impl Fn(Partition, GroupOffset) -> bool,
    ) -> Result<Vec<Acquired<O::Stored>>, Error> {
        if ours.is_empty() {
            return Ok(Vec::new());
        }
        let mut records = Records::default();
        for ((partition, _), offset) in &ours {
            let first = is_first(*partition, *offset).then_some(offset.next);
            self.owner.push_marker(&mut records, *partition, token, first);
        }
        let (held, offsets): (Vec<PartitionEpoch>, Vec<_>) =
            ours.iter().map(|(held, offset)| (*held, (held.0, *offset))).unzip();
        self.write(&held, &offsets, records)?;
        let partitions: Vec<Partition> = held.iter().map(|(partition, _)| *partition).collect();
        let mut stored = self.owner.read_stored(reader, &partitions, token)?;
        let acquired = ours.into_iter().filter_map(|(held, offset)| {
            let stored = stored.remove(&held.0)?;
            Some(Acquired { held, offset, first: is_first(held.0, offset), stored })
        });
        Ok(acquired.collect())
    }

    /// Returns the partition count of the topic that is read, which the owner's topics share.
    ///
    /// # Errors
    /// `Fatal` if a topic has another count; `Unavailable` if the cluster does not answer.
    fn compare_partition_counts(&self, reader: &BaseConsumer<Logged>) -> Result<usize, Error> {
        let expected = self.member.partitions()?;
        for topic in self.owner.topics_by_partition() {
            let count = partitions_of(reader, topic)?;
            if count != expected {
                return Err(Error::Fatal(
                    format!(
                        "{topic} has {count} partitions and {} has {expected}: they must be as many; \
                     `pricedrop topics check` says what to do",
                        self.member.topic()
                    )
                    .into(),
                ));
            }
        }
        Ok(expected)
    }

    /// Writes records to the owner's topic and sends these offsets, in one transaction.
    ///
    /// # Errors
    /// A partition was reassigned, or the cluster does not answer: acquire again.
    pub fn write(
        &mut self,
        held: &[PartitionEpoch],
        offsets: &[(Partition, GroupOffset)],
        mut records: Records,
    ) -> Result<(), Error> {
        let fence = Fence { member: self.member, held, offsets };
        let written = self.transactions.commit_records(&fence, self.owner.topic(), &mut records);
        written.map_err(|error| match error {
            CommitError::Fenced(why) => Error::Rebalanced(why),
            CommitError::NotCommitted(why) | CommitError::Unknown(why) => Error::Unavailable(why),
        })
    }

    /// Ends what earlier producers of this transactional id may have left open, in the group's
    /// offsets and in the topics that they wrote to. Does so once for each producer.
    ///
    /// # Errors
    /// The cluster does not answer, or a partition was reassigned.
    pub fn end_hanging(&mut self, held: &[PartitionEpoch]) -> Result<(), Error> {
        self.transactions.prepare()?;
        if !self.transactions.may_have_hanging() {
            return Ok(());
        }
        let (reader, all) = (reader(self.settings)?, reader_of_all(self.settings, self.group)?);
        let (owner, token) = (self.owner, fresh_token());
        let mut open = Vec::new();
        for topic in std::iter::once(owner.topic()).chain(owner.other_topics()) {
            open.push((topic, open_partitions(&reader, &all, topic)?));
        }
        let ending = self.ending(&reader, &all, held)?;
        self.transactions.end_hanging(self.member, held, &ending, |producer| {
            open.iter().filter(|(_, partitions)| !partitions.is_empty()).try_for_each(
                |(topic, partitions)| {
                    let mut records = Records::default();
                    for partition in partitions {
                        match *topic == owner.topic() {
                            true => owner.push_marker(&mut records, *partition, token, None),
                            false => records.push(partition.0, MARKER, |_| Value::Tombstone),
                        }
                    }
                    producer.send(topic, &mut records)
                },
            )
        })
    }

    /// Decides how to end it. Reads offsets without waiting for pending transactions, because the
    /// transaction that hangs is itself pending.
    fn ending(
        &self,
        reader: &BaseConsumer<Logged>,
        all: &BaseConsumer<Logged>,
        held: &[PartitionEpoch],
    ) -> Result<Ending, Error> {
        let ours: Vec<Partition> = held.iter().map(|(partition, _)| *partition).collect();
        // A transaction without an offset would not reach the group's coordinator.
        let sent = if ours.is_empty() { vec![Partition(0)] } else { ours.clone() };
        let now = committed(all, self.member.topic(), &sent)?;
        let none = GroupOffset { next: 0, by_engine: false };
        let offsets = sent.into_iter().map(|one| (one, now.get(&one).copied().unwrap_or(none))).collect();
        let topic = self.owner.topic();
        let position = |line: &LogRecord<'_>| self.owner.position(line);
        let mut stable = last_of_each(reader, topic, &ours, position)?;
        let mut last = last_of_each(all, topic, &ours, position)?;
        let stored = ours.into_iter().map(|partition| {
            let (committed, last) = (stable.remove(&partition), last.remove(&partition));
            (partition, StoredPositions { committed, last })
        });
        Ok(ending(self.transactions.id(), offsets, &stored.collect()))
    }
}
