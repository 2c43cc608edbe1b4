//! Writes the offsets and retries of a dispatcher to Kafka, for the partitions that it acquired.
//! Every call blocks.
//!
//! Partitions are acquired by the steps of [`Acquisition`]: a transaction writes a marker to the
//! topic of retries and sends the group's offset, then the topic is read up to that marker, and
//! only then notifications are read from that offset.
//!
//! Invariant: a transaction that writes a retry, a tombstone or an offset also sends the group
//! offset of each of their partitions with the group metadata of the member, which the broker
//! checks. So a worker that was paused cannot write an old retry after a tombstone.

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

/// Maximum number of attempts of a write.
const TRIES: usize = 5;

/// The dispatcher's state of a partition it acquired. Each notification before the session's next
/// offset is confirmed, stored as a retry, or a dead letter.
struct Kept {
    /// Whether the dispatcher has dropped what it read before this acquisition. Until then the
    /// offsets that it writes for the partition are ignored.
    known: bool,
}

/// Changes that are written in one transaction.
#[derive(Debug, Default)]
pub struct Writes {
    /// Retries to store, new ones or with new due times.
    pub put: Vec<Retry>,
    /// Retries that ended: confirmed or dead.
    pub done: Vec<Retry>,
    /// Next offsets of notifications.
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
    /// Whether a partition was lost since the last [`Ledger::rewind`].
    moving: bool,
}

impl Ledger {
    /// Creates a ledger for this member of the group.
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

    /// Returns whether the dispatcher must drop what it read, because a partition was lost.
    pub fn is_moving(&self) -> bool {
        self.moving
    }

    /// Returns whether every partition that the group assigned to this member was acquired, even if
    /// it assigned none.
    pub fn assignment_is_ready(&self) -> bool {
        self.member.assignment_is_ready(self.sessions.version())
    }

    /// Returns the partitions that are served.
    pub fn owned(&self) -> BTreeSet<Partition> {
        self.sessions.iter().map(|(partition, _)| partition).collect()
    }

    /// Drops the partitions that were lost, and acquires the new ones. The new ones are read after
    /// [`Ledger::resume`].
    ///
    /// # Errors
    /// `Unavailable`, `Rebalanced`: try again. `Fatal`: an operator has to act. Lost partitions are
    /// dropped in each case.
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

    /// Drops the partitions that were lost. Returns whether there were any.
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

    /// Reads the waiting retries of these partitions from the topic again. Skips partitions that
    /// are not served.
    ///
    /// # Errors
    /// The cluster does not answer, or a partition was reassigned.
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

    /// Reads the notifications of these partitions from their next offsets.
    pub fn resume(&self, partitions: &[Partition]) {
        let settled = |partition: &Partition| Some((*partition, self.sessions.get(*partition)?.next));
        self.member.resume(&partitions.iter().filter_map(settled).collect::<Vec<_>>());
    }

    /// Continues reading every partition at its next offset. The dispatcher drops the records that
    /// it read after that offset.
    pub fn rewind(&mut self) {
        self.member.resume(&self.sessions.offsets());
        self.sessions.iter_mut().for_each(|(_, session)| session.kept.known = true);
        self.moving = false;
    }

    /// Writes all changes in one transaction. Changes of partitions that are not served are left
    /// out, because their owners read them from the log or from the topic of retries.
    ///
    /// # Errors
    /// The changes may be written or not; writing them again is safe.
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
                // Whatever the outcome was, writing the same records again has the same effect.
                Err(CommitError::NotCommitted(reason) | CommitError::Unknown(reason)) => {
                    why = reason.to_string()
                }
            }
        }
        Err(Error::Unavailable(why.into()))
    }

    /// Selects the changes that concern served partitions, as records and offsets.
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
                false => retries_topic::push_tombstone(&mut records, retry),
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
        let offsets = GroupOffset::all_of_engine(offsets);
        let fence = Fence { member: &self.member, held, offsets: &offsets };
        self.transactions.commit_records(&fence, topic, records)
    }
}
