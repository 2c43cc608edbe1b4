//! What a dispatcher writes to Kafka and reads from there: offsets and
//! retries, of the partitions that are its own. Every call blocks.
//!
//! Partitions are acquired by the steps of [`Acquisition`]: a marker in the retry topic is
//! written in a transaction with the group's offset, the topic is read up to that marker,
//! and only then the notifications from that offset on.
//!
//! Invariant: a retry, its end and an offset are written in transactions that carry the
//! settled offset of each of their partitions through the fence. So a worker that was
//! paused cannot put an old attempt over a tombstone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pricedrop_model::Partition;
use pricedrop_model::dispatch::Retry;
use pricedrop_model::ports::{CommitError, Error};

use crate::client::queries::GroupOffset;
use crate::client::raw::Records;
use crate::client::reserved_keys::Position;
use crate::dispatcher::acquire::{Dispatcher, Restored};
use crate::dispatcher::options::DispatchOptions;
use crate::dispatcher::retries_topic;
use crate::group::group_consumer::{GroupConsumer, PartitionEpoch};
use crate::group::session::Sessions;
use crate::group::transactions::{Fence, Transactions};
use crate::settings::Delivery;

/// How often a transaction that did nothing is tried before its caller is told.
const TRIES: usize = 5;

/// What a dispatcher keeps of a partition that it serves. Everything below the next offset
/// of its session is confirmed, safely queued, or dead.
struct Kept {
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

/// The ledger of one dispatcher.
pub struct Ledger {
    options: DispatchOptions,
    /// The group of all dispatchers.
    group: String,
    member: Arc<GroupConsumer>,
    transactions: Transactions,
    sessions: Sessions<Kept>,
    /// A partition went away since the dispatcher went back.
    moving: bool,
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
            sessions: Sessions::default(),
            moving: false,
        }
    }

    /// Whether what the dispatcher read and did not finish is of no use.
    pub fn is_moving(&self) -> bool {
        self.moving
    }

    /// Whether every partition that the group assigned to this member was acquired, even if
    /// it assigned none.
    pub fn assignment_is_ready(&self) -> bool {
        self.sessions.is_ready(&self.member)
    }

    /// The partitions that are served.
    pub fn owned(&self) -> BTreeSet<Partition> {
        self.sessions.iter().map(|(partition, _)| partition).collect()
    }

    /// Drops the partitions that were lost, and acquires the new ones. Those are read once
    /// [`Ledger::read_on`] says so.
    ///
    /// # Errors
    /// The cluster is away; try again. Lost partitions are dropped all the same.
    pub fn follow(&mut self, token: u64) -> Result<Vec<Restored>, Error> {
        let version = self.member.version();
        if version == self.sessions.version() {
            return Ok(Vec::new());
        }
        self.drop_lost();
        let held = self.member.held();
        let new = self.sessions.to_acquire(&held);
        let nothing = held.is_empty() && self.member.assignment_is_ready(version);
        let restored = match nothing || !new.is_empty() {
            true => self.acquire(&new, token)?,
            false => Vec::new(),
        };
        self.sessions.complete(version);
        Ok(restored)
    }

    /// Drops the partitions that were lost; whether there were any.
    fn drop_lost(&mut self) -> bool {
        let lost = self.sessions.drop_lost(&self.member.held()) > 0;
        self.moving |= lost;
        lost
    }

    fn acquire(&mut self, new: &[PartitionEpoch], token: u64) -> Result<Vec<Restored>, Error> {
        let (dispatcher, transactions) = self.parts();
        let acquired = dispatcher.acquisition(transactions).run(new, token)?.acquired;
        let known = !self.moving;
        let mut restored = Vec::new();
        for one in acquired {
            self.sessions.serve(one.held, one.offset.next, Kept { known });
            restored.push(one.stored);
        }
        if !new.is_empty() {
            let partitions: Vec<Partition> = new.iter().map(|(partition, _)| *partition).collect();
            tracing::info!(?partitions, "partitions of notifications acquired");
        }
        Ok(restored)
    }

    fn parts(&mut self) -> (Dispatcher<'_>, &mut Transactions) {
        let dispatcher = Dispatcher { options: &self.options, group: &self.group, member: &self.member };
        (dispatcher, &mut self.transactions)
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
        self.drop_lost();
        let ours = self.sessions.iter().filter(|(partition, _)| partitions.contains(partition));
        let ours: Vec<_> =
            ours.map(|(partition, session)| ((partition, session.epoch), session.next)).collect();
        if ours.is_empty() {
            return Ok(Vec::new());
        }
        let (dispatcher, transactions) = self.parts();
        let acquired = dispatcher.acquisition(transactions).run_again(ours, token)?;
        Ok(acquired.into_iter().map(|one| one.stored).collect())
    }

    /// Reads the notifications of these partitions on.
    pub fn read_on(&self, partitions: &[Partition]) {
        let settled = |partition: &Partition| Some((*partition, self.sessions.get(*partition)?.next));
        self.member.resume(&partitions.iter().filter_map(settled).collect::<Vec<_>>());
    }

    /// Goes back to what is settled, everywhere: the dispatcher forgets what it
    /// read so far.
    pub fn go_back(&mut self) {
        self.member.resume(&self.sessions.offsets());
        self.sessions.iter_mut().for_each(|(_, session)| session.kept.known = true);
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
            let (dispatcher, transactions) = self.parts();
            dispatcher.acquisition(transactions).end_hanging(&held)?;
            match self.transact(&held, &offsets, &mut records) {
                Ok(()) => {
                    self.settle(&offsets);
                    return Ok(());
                }
                Err(CommitError::Fenced(reason)) => {
                    if !self.drop_lost() {
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
            if let Some(session) = self.sessions.get(*partition).filter(|session| session.kept.known) {
                let next = next.entry(*partition).or_insert(session.next);
                *next = (*next).max(*offset);
            }
        }
        let mut records = Records::default();
        let entries = writes.iter().flat_map(|one| {
            let put = one.put.iter().map(|retry| (retry, true));
            put.chain(one.done.iter().map(|retry| (retry, false)))
        });
        for (retry, waits) in entries {
            let Some(session) = self.sessions.get(retry.partition) else { continue };
            next.entry(retry.partition).or_insert(session.next);
            match waits {
                true => retries_topic::push(&mut records, retry),
                false => retries_topic::push_done(&mut records, retry),
            }
        }
        for (partition, next) in &next {
            Position::push(&mut records, *partition, *next, &self.options.transactional_id);
        }
        let held = self.sessions.epochs_of(next.keys().copied());
        (held.expect("each has a session, as was looked up above"), next.into_iter().collect(), records)
    }

    fn settle(&mut self, offsets: &[(Partition, i64)]) {
        for (partition, offset) in offsets {
            if let Some(session) = self.sessions.get_mut(*partition) {
                session.next = session.next.max(*offset);
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
        let offset = |(partition, next): &(Partition, i64)| (*partition, GroupOffset::of_engine(*next));
        let offsets: Vec<_> = offsets.iter().map(offset).collect();
        let fence = Fence { member: &self.member, held, offsets: &offsets };
        self.transactions.commit_records(&fence, topic, records)
    }
}
