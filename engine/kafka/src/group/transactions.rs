//! One transactional producer, and what its errors mean.
//!
//! ```text
//! begin ─▶ [ fence: still ours? ─▶ offsets, records ─▶ commit ]
//!                  no: abort                             │unknown
//!                                                        ▼
//!                              destroy, make anew with the same id, restore
//! ```
//!
//! Invariant: there is one producer at a time. After a call whose outcome is
//! unknown it is destroyed, and its successor's `init_transactions` settles
//! what it left open before anything is read or written again; where the broker
//! does not, [`Transactions::end_hanging`] does.

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

/// What a transaction is made of, beside its records.
pub struct Fence<'a> {
    /// Whose offsets they are.
    pub member: &'a GroupConsumer,
    /// All partitions whose update, timer or state the transaction carries.
    pub held: &'a [PartitionEpoch],
    /// The next offset of each of them: real ones, or the broker would not
    /// check who sends them.
    pub offsets: &'a [(Partition, GroupOffset)],
}

/// The parts of what is sent, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What others are told.
    Told,
    /// What is removed because they were told.
    Removed,
    /// What we remember of it.
    Remembered,
}

const PARTS: [Part; 3] = [Part::Told, Part::Removed, Part::Remembered];

/// The producer of one worker.
pub struct Transactions {
    settings: Settings,
    id: String,
    delivery: Delivery,
    producer: Option<RawProducer>,
    /// What the producer's predecessors left open may be open still.
    may_have_hanging: bool,
}

impl Transactions {
    /// A producer with this transactional id; made when it is first needed.
    pub fn new(settings: &Settings, id: String, delivery: Delivery) -> Transactions {
        Transactions { settings: settings.clone(), id, delivery, producer: None, may_have_hanging: false }
    }

    /// Whether the producer is ready; if not, states must be read again.
    pub fn is_ready(&self) -> bool {
        self.producer.is_some()
    }

    /// Whether earlier producers of this id may have left something open.
    pub fn may_have_hanging(&self) -> bool {
        self.may_have_hanging
    }

    /// Makes the producer ready, ending what an earlier one left open.
    ///
    /// # Errors
    /// The cluster is away, or does not allow it.
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

    /// The transactional id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Ends what earlier producers of this id left open in the group's offsets and in the
    /// partitions that `fill` writes to, as [`crate::group::hanging`] decided. Once for each
    /// producer.
    ///
    /// # Errors
    /// The cluster is away, or a partition moved.
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
        let away =
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
            return Err(away(refusal));
        }
        touched.map_err(away)?;
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

    /// One transaction: the records that `fill` sends, and the offsets.
    ///
    /// # Errors
    /// Says whether anything happened.
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

    /// One transaction: these records of one topic, and the offsets.
    ///
    /// # Errors
    /// Says whether anything happened.
    pub fn commit_records(
        &mut self,
        fence: &Fence<'_>,
        topic: &str,
        records: &mut Records,
    ) -> Result<(), CommitError> {
        self.commit(fence, |producer, part| match part {
            Part::Remembered if records.len() > 0 => producer.send(topic, records),
            _ => Ok(()),
        })
    }
}

/// How a transaction failed.
enum Failed {
    /// It is open still, and can be aborted.
    Before(CommitError),
    /// Nobody knows.
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
        // Coordinators take the offsets while records go to the brokers.
        let send_offsets = || send_offsets(producer, fence, group, wait);
        let (offsets_sent, filled) = thread::scope(|scope| {
            let named = thread::Builder::new().name("kafka-offsets".into());
            let beside = named.spawn_scoped(scope, send_offsets);
            let filled = PARTS.into_iter().try_for_each(|part| fill(producer, part));
            // A system that gives no thread costs the time alone.
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
        Err(error @ (NotOurs::Moved(_) | NotOurs::NoMember)) => {
            Err(Failed::Before(CommitError::Fenced(error.to_string().into())))
        }
    }
}

/// At least once: what others are told is theirs before it is removed and we
/// remember it, and remembered before the offset moves. A crash in between tells
/// again; it never forgets to tell. What we remember is written while the
/// partition is ours, lest it lie on top of what its next owner remembers.
fn deliver(
    producer: &RawProducer,
    fence: &Fence<'_>,
    wait: Duration,
    mut fill: impl FnMut(&RawProducer, Part) -> Result<(), ProducerError>,
) -> Result<(), CommitError> {
    let unknown = |refusal: ProducerError| CommitError::Unknown(refusal.to_string().into());
    let mut write = |part| fill(producer, part).and_then(|()| producer.flush(wait)).map_err(unknown);
    write(Part::Told)?;
    write(Part::Removed)?;
    let fenced = fence.member.fenced(fence.held, |_| {
        write(Part::Remembered)?;
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

/// A commit that was cut short is asked for again: it goes on where it was.
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
