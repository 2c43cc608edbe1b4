//! What a dispatcher writes to Kafka and reads from there: offsets and
//! retries, of the partitions that are its own. Every call blocks.
//!
//! A partition is taken over as product states are: the group's offset O,
//! a marker in the retry topic written in a transaction with O, the topic read
//! up to that marker, and only then the notifications from O on.
//!
//! Invariant: an entry, its end and an offset are written in transactions that
//! carry the settled offset of each of their partitions through the fence. So
//! a worker that was paused cannot put an old attempt over a tombstone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use pricedrop_model::Partition;
use pricedrop_model::dispatch::Retry;
use pricedrop_model::ports::{CommitError, Error};

use crate::client::marker_reader::{Read, read_stable, read_to_markers, reader};
use crate::client::raw::Records;
use crate::dispatcher::options::DispatchOptions;
use crate::dispatcher::retries_topic::{self, Entry};
use crate::group::acquisition::Acquisition;
use crate::group::group_consumer::{GroupConsumer, PartitionEpoch};
use crate::group::transactions::{Fence, Transactions};
use crate::settings::{Delivery, Start};

/// How often a transaction that did nothing is tried before its caller is told.
const TRIES: usize = 5;

/// A partition that was taken over.
struct Owned {
    epoch: u64,
    /// Everything below is confirmed, safely queued, or dead.
    settled: i64,
    /// Whether all that was read of it was read since it became ours, as far
    /// as the dispatcher knows.
    known: bool,
}

/// What is written together.
#[derive(Debug, Default)]
pub struct Writes {
    /// Entries to add or move.
    pub put: Vec<Retry>,
    /// Entries that are done.
    pub done: Vec<Retry>,
    /// Next offsets.
    pub offsets: Vec<(Partition, i64)>,
}

/// A partition's entries, as its retry topic has them.
pub struct Restored {
    /// The partition.
    pub partition: Partition,
    /// The next offset of the retry topic behind the marker.
    pub behind: i64,
    /// What waits.
    pub waiting: Vec<Retry>,
}

/// The ledger of one dispatcher.
pub struct Ledger {
    options: DispatchOptions,
    /// The group of all dispatchers.
    group: String,
    member: Arc<GroupConsumer>,
    transactions: Transactions,
    owned: BTreeMap<Partition, Owned>,
    version: u64,
    /// A partition went away since the dispatcher went back.
    moving: bool,
    counts_compared: bool,
}

impl Ledger {
    /// Over this membership.
    pub fn new(options: DispatchOptions, member: Arc<GroupConsumer>) -> Ledger {
        let id = options.transactional_id.clone();
        let transactions = Transactions::new(&options.settings, id, Delivery::ExactlyOnce);
        Ledger {
            group: options.group(),
            options,
            member,
            transactions,
            owned: BTreeMap::new(),
            version: 0,
            moving: false,
            counts_compared: false,
        }
    }

    /// Whether what the dispatcher read and did not finish is of no use.
    pub fn is_moving(&self) -> bool {
        self.moving
    }

    /// Whether all was taken over that the group gave, be it nothing.
    pub fn assignment_is_ready(&self) -> bool {
        self.member.assignment_is_ready(self.version)
    }

    /// The partitions that were taken over.
    pub fn owned(&self) -> BTreeSet<Partition> {
        self.owned.keys().copied().collect()
    }

    /// Lets go of what moved, and takes over what came. Those that came are
    /// read once [`Ledger::read_on`] says so.
    ///
    /// # Errors
    /// The cluster is away; try again. What is gone is gone already.
    pub fn follow(&mut self, token: u64) -> Result<Vec<Restored>, Error> {
        let version = self.member.version();
        if version == self.version {
            return Ok(Vec::new());
        }
        self.let_go();
        let new: Vec<PartitionEpoch> =
            self.member.held().into_iter().filter(|(p, _)| !self.owned.contains_key(p)).collect();
        let taken = self.take_over(&new, token)?;
        self.version = version;
        Ok(taken)
    }

    /// Forgets partitions that moved; whether there were any.
    fn let_go(&mut self) -> bool {
        let held: BTreeMap<Partition, u64> = self.member.held().into_iter().collect();
        let before = self.owned.len();
        self.owned.retain(|partition, owned| held.get(partition) == Some(&owned.epoch));
        let gone = self.owned.len() < before;
        self.moving |= gone;
        gone
    }

    fn take_over(&mut self, new: &[PartitionEpoch], token: u64) -> Result<Vec<Restored>, Error> {
        if new.is_empty() {
            // It may have had something before.
            let nothing = self.owned.is_empty() && self.member.assignment_is_ready(self.member.version());
            return if nothing { self.abort_hanging(&[]).map(|()| Vec::new()) } else { Ok(Vec::new()) };
        }
        self.compare_counts()?;
        self.abort_hanging(new)?;
        let partitions: Vec<Partition> = new.iter().map(|(partition, _)| *partition).collect();
        let committed = self.member.committed(&partitions)?;
        let mut offsets = Vec::new();
        for partition in &partitions {
            offsets.push((*partition, self.first_offset(*partition, committed.get(partition).copied())?));
        }
        let restored = self.restore(new, &offsets, token)?;
        for ((partition, epoch), (_, settled)) in new.iter().zip(offsets) {
            self.owned.insert(*partition, Owned { epoch: *epoch, settled, known: !self.moving });
        }
        tracing::info!(?partitions, "partitions of notifications taken over");
        Ok(restored)
    }

    /// The steps that a notifier takes, too, and the topic of the retries.
    fn steps(&mut self) -> (Acquisition<'_>, &str) {
        let settings = &self.options.settings;
        let steps = Acquisition {
            settings,
            group: &self.group,
            member: &self.member,
            transactions: &mut self.transactions,
        };
        (steps, &settings.topics.retries)
    }

    fn abort_hanging(&mut self, held: &[PartitionEpoch]) -> Result<(), Error> {
        let (mut steps, topic) = self.steps();
        let group = steps.group;
        steps.abort_hanging(held, &[topic], |records, partition| {
            retries_topic::push_marker(records, partition, 0, group);
        })
    }

    fn compare_counts(&mut self) -> Result<(), Error> {
        if self.counts_compared {
            return Ok(());
        }
        let reader = reader(&self.options.settings)?;
        let (steps, topic) = self.steps();
        steps.same_partition_count(&reader, &[topic])?;
        self.counts_compared = true;
        Ok(())
    }

    /// Where to go on: nobody mails every user by switching a dispatcher on.
    fn first_offset(&self, partition: Partition, committed: Option<i64>) -> Result<i64, Error> {
        let (low, high) = self.member.watermarks(partition)?;
        let topic = &self.options.settings.topics.notifications;
        let again = |what: &str| {
            tracing::error!(
                topic,
                partition = partition.0,
                "{what}: all notifications that are kept are looked at again, and those that were delivered are \
                 passed over"
            );
            Ok(low)
        };
        match (committed, self.options.start) {
            (Some(offset), _) if offset > high => again("the group's offset is behind the end of the topic"),
            (Some(offset), _) if offset >= low => Ok(offset),
            (Some(offset), _) => {
                let lost = low - offset;
                tracing::error!(topic, partition = partition.0, lost, "notifications were deleted unread");
                Ok(low)
            }
            (None, _) if low == high => Ok(low),
            (None, Some(Start::Earliest)) => Ok(low),
            (None, _) if self.was_read(partition)? => again("the group's offset expired, or was deleted"),
            (None, Some(Start::Latest)) => Ok(high),
            (None, None) => Err(Error::Fatal(format!(
                "group {} reads {topic} for the first time, and it holds notifications already: say where to \
                 start with stream.start = \"latest\" or \"earliest\"",
                self.group
            ).into())),
        }
    }

    /// Whether somebody of our group took this partition over before.
    fn was_read(&self, partition: Partition) -> Result<bool, Error> {
        let (settings, ours) = (&self.options.settings, &self.group);
        let mut found = false;
        read_stable(&reader(settings)?, &settings.topics.retries, &[partition], |line| {
            if let Entry::Marker(_, group) = retries_topic::read(line.partition, line.key, line.value) {
                found = group == *ours;
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// What waits in partitions that are ours already, read anew.
    ///
    /// # Errors
    /// The cluster is away, or a partition moved.
    pub fn restore_again(
        &mut self,
        partitions: &BTreeSet<Partition>,
        token: u64,
    ) -> Result<Vec<Restored>, Error> {
        self.let_go();
        let ours = self.owned.iter().filter(|(partition, _)| partitions.contains(partition));
        let (held, offsets): (Vec<PartitionEpoch>, Vec<_>) =
            ours.map(|(p, owned)| ((*p, owned.epoch), (*p, owned.settled))).unzip();
        if held.is_empty() {
            return Ok(Vec::new());
        }
        self.abort_hanging(&held)?;
        self.restore(&held, &offsets, token)
    }

    fn restore(
        &mut self,
        held: &[PartitionEpoch],
        offsets: &[(Partition, i64)],
        token: u64,
    ) -> Result<Vec<Restored>, Error> {
        let mut records = Records::default();
        for (partition, _) in held {
            retries_topic::push_marker(&mut records, *partition, token, &self.group);
        }
        let (mut steps, topic) = self.steps();
        steps.write(held, offsets, topic, records)?;
        let partitions: Vec<Partition> = held.iter().map(|(partition, _)| *partition).collect();
        self.read_back(&partitions, token)
    }

    fn read_back(&self, partitions: &[Partition], token: u64) -> Result<Vec<Restored>, Error> {
        let settings = &self.options.settings;
        let topic = &settings.topics.retries;
        let mut waiting: HashMap<Partition, HashMap<String, Retry>> = HashMap::new();
        let mut behind = BTreeMap::new();
        let version = self.member.version();
        let wanted = || self.member.unmoved_since(version);
        read_to_markers(&reader(settings)?, topic, partitions, wanted, |line| {
            let waiting = waiting.entry(line.partition).or_default();
            match retries_topic::read(line.partition, line.key, line.value) {
                Entry::Waits(retry) => drop(waiting.insert(retry.key.clone(), *retry)),
                Entry::Done(key) => drop(waiting.remove(&key)),
                Entry::Marker(found, _) if found == token => {
                    behind.insert(line.partition, line.offset + 1);
                    return Ok(Read::Done);
                }
                Entry::Marker(..) => {}
                Entry::Unreadable(why) => {
                    tracing::error!(
                        topic,
                        partition = line.partition.0,
                        offset = line.offset,
                        why,
                        "no retry"
                    );
                }
            }
            Ok(Read::On)
        })?;
        let restored = behind.into_iter().map(|(partition, behind)| {
            let waiting = waiting.remove(&partition).unwrap_or_default().into_values().collect();
            Restored { partition, behind, waiting }
        });
        Ok(restored.collect())
    }

    /// Reads the notifications of these partitions on.
    pub fn read_on(&self, partitions: &[Partition]) {
        let settled = |partition: &Partition| Some((*partition, self.owned.get(partition)?.settled));
        self.member.resume(&partitions.iter().filter_map(settled).collect::<Vec<_>>());
    }

    /// Goes back to what is settled, everywhere: the dispatcher forgets what it
    /// read so far.
    pub fn go_back(&mut self) {
        let all: Vec<Partition> = self.owned.keys().copied().collect();
        self.read_on(&all);
        self.owned.values_mut().for_each(|owned| owned.known = true);
        self.moving = false;
    }

    /// Writes all of it in one transaction; what belongs to partitions that are
    /// not ours is passed over, for their owner has it in the log or the topic.
    ///
    /// # Errors
    /// Nothing is promised; writing again is safe.
    pub fn write(&mut self, writes: &[Writes]) -> Result<(), Error> {
        let mut why = String::new();
        for _ in 0..TRIES {
            let (held, offsets, mut records) = self.ours(writes);
            if held.is_empty() {
                return Ok(());
            }
            self.abort_hanging(&held)?;
            match self.transact(&held, &offsets, &mut records) {
                Ok(()) => {
                    self.settle(&offsets);
                    return Ok(());
                }
                Err(CommitError::Fenced(reason)) => {
                    if !self.let_go() {
                        return Err(Error::Unavailable(reason));
                    }
                    why = reason.to_string();
                }
                // Whatever became of it, the same again makes it so.
                Err(CommitError::NotCommitted(reason) | CommitError::Unknown(reason)) => {
                    why = reason.to_string()
                }
            }
        }
        Err(Error::Unavailable(why.into()))
    }

    /// What of these writes concerns partitions of ours.
    fn ours(&self, writes: &[Writes]) -> (Vec<PartitionEpoch>, Vec<(Partition, i64)>, Records) {
        let mut next: BTreeMap<Partition, i64> = BTreeMap::new();
        for (partition, offset) in writes.iter().flat_map(|one| &one.offsets) {
            if let Some(owned) = self.owned.get(partition).filter(|owned| owned.known) {
                let next = next.entry(*partition).or_insert(owned.settled);
                *next = (*next).max(*offset);
            }
        }
        let mut records = Records::default();
        let entries = writes.iter().flat_map(|one| {
            let put = one.put.iter().map(|retry| (retry, true));
            put.chain(one.done.iter().map(|retry| (retry, false)))
        });
        for (retry, waits) in entries {
            let Some(owned) = self.owned.get(&retry.partition) else { continue };
            next.entry(retry.partition).or_insert(owned.settled);
            match waits {
                true => retries_topic::push(&mut records, retry),
                false => retries_topic::push_done(&mut records, retry),
            }
        }
        let epoch = |(partition, _): (&Partition, &i64)| Some((*partition, self.owned.get(partition)?.epoch));
        let held = next.iter().filter_map(epoch).collect();
        (held, next.into_iter().collect(), records)
    }

    fn settle(&mut self, offsets: &[(Partition, i64)]) {
        for (partition, offset) in offsets {
            if let Some(owned) = self.owned.get_mut(partition) {
                owned.settled = owned.settled.max(*offset);
            }
        }
    }

    fn transact(
        &mut self,
        held: &[PartitionEpoch],
        offsets: &[(Partition, i64)],
        records: &mut Records,
    ) -> Result<(), CommitError> {
        let topic = &self.options.settings.topics.retries;
        let fence = Fence { member: &self.member, held, offsets };
        self.transactions.commit_records(&fence, topic, records)
    }
}
