//! The transactional producer of a worker, and the meaning of its errors.
//!
//! ```text
//! begin ─▶ [ fence: still owner? ─▶ offsets, records ─▶ commit ]
//!                  no: abort                             │unknown
//!                                                        ▼
//!                              destroy, create again with the same id, restore
//! ```
//!
//! Invariant: a worker has one producer at a time. After a call with an unknown outcome the
//! producer is destroyed, and a new one is created with the same id. Its `init_transactions` ends
//! the transaction that the old producer left open, before anything is read or written again. If
//! the broker did not end it in every partition, [`Transactions::end_hanging`] does.

use std::thread;
use std::time::{Duration, Instant};

use pricedrop_model::ports::{CommitError, Error};
use pricedrop_model::{Cause, Partition};

use crate::client::queries::GroupOffset;
use crate::client::raw::{GroupMetadata, ProducerError, RawProducer, Records};
use crate::group::group_consumer::{GroupConsumer, NotOurs, PartitionEpoch};
use crate::group::hanging::Ending;
use crate::limits::{CALL_MS, INIT_MS};
use crate::settings::{Delivery, Settings};

/// The owner and the offsets of a transaction.
pub struct Fence<'a> {
    /// The member that owns the partitions.
    pub member: &'a GroupConsumer,
    /// All partitions whose update, timer or state is in the transaction.
    pub held: &'a [PartitionEpoch],
    /// The next offset of each of them. Without an offset the broker does not check the member.
    pub offsets: &'a [(Partition, GroupOffset)],
}

/// The parts of a commit, in the order in which they are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Notifications and dead letters.
    Published,
    /// Removals of watches that were notified.
    Removals,
    /// States and positions.
    States,
}

const PARTS: [Part; 3] = [Part::Published, Part::Removals, Part::States];

/// The producer of one worker.
pub struct Transactions {
    settings: Settings,
    id: String,
    delivery: Delivery,
    producer: Option<RawProducer>,
    /// Whether transactions of the producer's predecessors may still be open.
    may_have_hanging: bool,
}

impl Transactions {
    /// Prepares a producer with this transactional id. It is created when it is first needed.
    pub fn new(settings: &Settings, id: String, delivery: Delivery) -> Transactions {
        Transactions { settings: settings.clone(), id, delivery, producer: None, may_have_hanging: false }
    }

    /// Returns whether the producer exists; if not, states must be read again.
    pub fn is_ready(&self) -> bool {
        self.producer.is_some()
    }

    /// Returns whether earlier producers of this id may have left something open.
    pub fn may_have_hanging(&self) -> bool {
        self.may_have_hanging
    }

    /// Creates the producer if there is none, and ends what an earlier one left open.
    ///
    /// # Errors
    /// `Unavailable`: the cluster does not answer, or refuses. `Fatal`: the configuration is
    /// invalid.
    pub fn prepare(&mut self) -> Result<(), Error> {
        if self.producer.is_some() {
            return Ok(());
        }
        let broken = |error: ProducerError| Error::Fatal(Cause::new("the Kafka producer", error));
        if !self.delivery.is_exact() {
            self.producer = Some(RawProducer::new(&self.settings.batching()).map_err(broken)?);
            self.may_have_hanging = false;
            return Ok(());
        }
        let producer = RawProducer::new(&self.settings.transactional(&self.id)).map_err(broken)?;
        producer.init_transactions(Duration::from_millis(INIT_MS)).map_err(|error| {
            Error::Unavailable(format!("Kafka does not begin transactions of {}: {error}", self.id).into())
        })?;
        self.producer = Some(producer);
        self.may_have_hanging = true;
        Ok(())
    }

    /// Returns the transactional id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Ends what earlier producers of this id left open, in the group's offsets and in the
    /// partitions that `fill` writes to, as [`crate::group::hanging`] decided. Does so once for
    /// each producer.
    ///
    /// # Errors
    /// The cluster does not answer, or a partition was reassigned.
    pub fn end_hanging(
        &mut self,
        member: &GroupConsumer,
        held: &[PartitionEpoch],
        ending: &Ending,
        fill: impl FnOnce(&RawProducer) -> Result<(), ProducerError>,
    ) -> Result<(), Error> {
        self.prepare()?;
        let Some(producer) = self.producer.as_ref().filter(|_| self.may_have_hanging) else { return Ok(()) };
        let wait = Duration::from_millis(self.settings.transaction_timeout_ms);
        let unavailable =
            |refusal: ProducerError| Error::Unavailable(Cause::new("ending what may be open", refusal));
        let fence = Fence { member, held, offsets: &ending.offsets };
        let touched = producer.begin().and_then(|()| fill(producer)).and_then(|()| producer.flush(wait));
        let fenced = member.fenced(held, |group| {
            send_offsets(producer, &fence, group, wait)?;
            match ending.commit && touched.is_ok() {
                true => commit(producer, wait),
                false => Ok(()),
            }
        });
        let committed = ending.commit && touched.is_ok() && matches!(fenced, Ok(Ok(())));
        if !committed && let Err(refusal) = producer.abort(wait) {
            self.producer = None;
            return Err(unavailable(refusal));
        }
        touched.map_err(unavailable)?;
        match fenced {
            Ok(Ok(())) => self.may_have_hanging = false,
            Ok(Err(Failed::Before(CommitError::Fenced(why)))) => return Err(Error::Rebalanced(why)),
            Ok(Err(Failed::Before(error))) => return Err(Error::Unavailable(error.to_string().into())),
            Ok(Err(Failed::Unknown(why))) => {
                self.producer = None;
                return Err(Error::Unavailable(why.into()));
            }
            Err(not_ours) => return Err(Error::Rebalanced(not_ours.to_string().into())),
        }
        Ok(())
    }

    /// Commits the records that `fill` sends and the offsets, in one transaction.
    ///
    /// # Errors
    /// `Fenced`, `NotCommitted`: the transaction was aborted. `Unknown`: it may have been
    /// committed. At-least-once delivery may have written notifications in each case.
    pub fn commit(
        &mut self,
        fence: &Fence<'_>,
        mut fill: impl FnMut(&RawProducer, Part) -> Result<(), ProducerError>,
    ) -> Result<(), CommitError> {
        let Some(producer) = self.producer.as_ref() else {
            return Err(CommitError::Unknown("the producer was given up".into()));
        };
        let wait = Duration::from_millis(self.settings.transaction_timeout_ms);
        if !self.delivery.is_exact() {
            return deliver(producer, fence, wait, fill).inspect_err(|_| self.producer = None);
        }
        let done = match producer.begin() {
            Ok(()) => transact(producer, fence, wait, &mut fill),
            Err(refusal) => Err(Failed::Unknown(refusal.to_string())),
        };
        let (error, give_up) = match done {
            Ok(()) => return Ok(()),
            Err(Failed::Before(error)) => match producer.abort(wait) {
                Ok(()) => (error, false),
                Err(refusal) => {
                    (CommitError::Unknown(format!("{error}; not aborted: {refusal}").into()), true)
                }
            },
            Err(Failed::Unknown(text)) => (CommitError::Unknown(text.into()), true),
        };
        if give_up {
            self.producer = None;
        }
        Err(error)
    }

    /// Commits these records of one topic and the offsets, in one transaction.
    ///
    /// # Errors
    /// See [`Transactions::commit`].
    pub fn commit_records(
        &mut self,
        fence: &Fence<'_>,
        topic: &str,
        records: &mut Records,
    ) -> Result<(), CommitError> {
        self.commit(fence, |producer, part| match part {
            Part::States if records.len() > 0 => producer.send(topic, records),
            _ => Ok(()),
        })
    }
}

/// How a transaction failed.
enum Failed {
    /// The transaction is still open and can be aborted.
    Before(CommitError),
    /// The outcome is unknown.
    Unknown(String),
}

fn transact(
    producer: &RawProducer,
    fence: &Fence<'_>,
    wait: Duration,
    fill: &mut impl FnMut(&RawProducer, Part) -> Result<(), ProducerError>,
) -> Result<(), Failed> {
    debug_assert!(fence.offsets.iter().all(|(_, offset)| offset.next >= 0));
    let fenced = fence.member.fenced(fence.held, |group| {
        // The offsets go to the coordinators while the records go to the brokers.
        let send_offsets = || send_offsets(producer, fence, group, wait);
        let (offsets_sent, filled) = thread::scope(|scope| {
            let named = thread::Builder::new().name("kafka-offsets".into());
            let beside = named.spawn_scoped(scope, send_offsets);
            let filled = PARTS.into_iter().try_for_each(|part| fill(producer, part));
            // If no thread can be started, the offsets are sent after the records.
            let sent = beside.map_or_else(
                |_| send_offsets(),
                |thread| thread.join().expect("sending offsets does not panic"),
            );
            (sent, filled)
        });
        offsets_sent?;
        filled.map_err(before)?;
        commit(producer, wait)
    });
    match fenced {
        Ok(done) => done,
        Err(error @ (NotOurs::Reassigned(_) | NotOurs::NoMember)) => {
            Err(Failed::Before(CommitError::Fenced(error.to_string().into())))
        }
    }
}

/// Delivers at least once: notifications are written before removals, those before states, and
/// states before the offset. A crash in between repeats notifications and never loses them. States
/// are written while the partition is owned, so that they do not replace those of the next owner.
fn deliver(
    producer: &RawProducer,
    fence: &Fence<'_>,
    wait: Duration,
    mut fill: impl FnMut(&RawProducer, Part) -> Result<(), ProducerError>,
) -> Result<(), CommitError> {
    let unknown = |refusal: ProducerError| CommitError::Unknown(refusal.to_string().into());
    let mut write = |part| fill(producer, part).and_then(|()| producer.flush(wait)).map_err(unknown);
    write(Part::Published)?;
    write(Part::Removals)?;
    let fenced = fence.member.fenced(fence.held, |_| {
        write(Part::States)?;
        fence.member.commit(fence.offsets).map_err(|error| CommitError::Unknown(error.to_string().into()))
    });
    fenced.unwrap_or_else(|not_ours| Err(CommitError::Fenced(not_ours.to_string().into())))
}

fn send_offsets(
    producer: &RawProducer,
    fence: &Fence<'_>,
    group: &GroupMetadata,
    wait: Duration,
) -> Result<(), Failed> {
    let list = fence.member.to_commit(fence.offsets);
    let until = Instant::now() + wait.min(Duration::from_millis(CALL_MS));
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match producer.send_offsets(&list, group, left) {
            Ok(()) => return Ok(()),
            Err(refusal) if refusal.retriable && !refusal.is_stale_member() => {
                if left.is_zero() {
                    return Err(Failed::Unknown(refusal.to_string()));
                }
            }
            Err(refusal) => return Err(before(refusal)),
        }
    }
}

/// Commits, and calls again after a retriable error: librdkafka then continues the same commit.
fn commit(producer: &RawProducer, wait: Duration) -> Result<(), Failed> {
    let until = Instant::now() + wait;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match producer.commit(left) {
            Ok(()) => return Ok(()),
            Err(refusal) if refusal.retriable && !left.is_zero() => {}
            Err(refusal) if refusal.must_abort => return Err(before(refusal)),
            Err(refusal) => return Err(Failed::Unknown(refusal.to_string())),
        }
    }
}

fn before(refusal: ProducerError) -> Failed {
    if refusal.fatal {
        return Failed::Unknown(refusal.to_string());
    }
    Failed::Before(match refusal.is_stale_member() {
        true => CommitError::Fenced(refusal.to_string().into()),
        false => CommitError::NotCommitted(refusal.to_string().into()),
    })
}
