//! Commits a batch: notifications, states, removals, dead letters and offsets in one transaction.
//!
//! A thread of the worker commits, so that the notifier reads and decides the next batch meanwhile.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Instant;

use async_trait::async_trait;
use pricedrop_model::notification::Renderer;
use pricedrop_model::ports::{Commit, CommitError, Committer, Error, PriceRow, RejectedRecord, Restored};
use pricedrop_model::sync::lock;
use pricedrop_model::{Cause, Partition, ProductId, ProductState, StateKey};
use tokio::sync::oneshot;

use crate::client::queries::GroupOffset;
use crate::client::raw::{BY_KEY, HeaderRecord, ProducerError, RawProducer, Records, Value};
use crate::client::reserved_keys::Position;
use crate::group::group_consumer::{GroupConsumer, PartitionEpoch};
use crate::group::transactions::{Fence, Part, Transactions};
use crate::limits::{REASON_BYTES, RECORD_BYTES, RECORD_OVERHEAD_BYTES, SEND_RECORDS};
use crate::notifier::acquire::{Notifier, acquire};
use crate::notifier::changelog::write_key;
use crate::notifier::options::Options;
use crate::notifier::removals::Remover;
use crate::notifier::states::{Kept, Shared, advance};

/// Commits the decisions of a notifier, on the thread of its worker.
pub struct KafkaCommitter {
    shared: Shared,
    requests: Option<mpsc::Sender<Request>>,
    worker: Option<JoinHandle<()>>,
    _remover: Option<Remover>,
}

enum Request {
    Restore(oneshot::Sender<Result<Restored, Error>>),
    Commit(Commit, oneshot::Sender<Result<(), CommitError>>),
}

impl KafkaCommitter {
    pub(crate) fn start(
        options: Options,
        member: Arc<GroupConsumer>,
        shared: Shared,
        transactional_id: String,
        remover: Option<Remover>,
    ) -> std::io::Result<KafkaCommitter> {
        let (requests, inbox) = mpsc::channel();
        let transactions = Transactions::new(&options.settings, transactional_id, options.delivery);
        let own = shared.clone();
        let work = move || {
            Worker { options, member, transactions, shared: own, records: Records::default() }.run(&inbox)
        };
        let worker = std::thread::Builder::new().name("kafka-commit".into()).spawn(work)?;
        Ok(KafkaCommitter { shared, requests: Some(requests), worker: Some(worker), _remover: remover })
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Option<T> {
        let (answer, response) = oneshot::channel();
        self.requests.as_ref()?.send(request(answer)).ok()?;
        response.await.ok()
    }
}

impl Drop for KafkaCommitter {
    /// Waits until a running commit has ended.
    fn drop(&mut self) {
        self.requests.take();
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
    }
}

const GONE: &str = "the worker's thread ended";

#[async_trait]
impl Committer for KafkaCommitter {
    async fn restore(&mut self) -> Result<Restored, Error> {
        self.ask(Request::Restore).await.unwrap_or_else(|| Err(Error::Fatal(GONE.into())))
    }

    async fn load(
        &mut self,
        products: &[(Partition, ProductId)],
    ) -> Result<Vec<(StateKey, ProductState)>, Error> {
        let shared = lock(&self.shared);
        let mut states = Vec::with_capacity(products.len());
        for (partition, product) in products {
            let session = shared.sessions.get(*partition);
            let session = session.ok_or_else(|| Error::Rebalanced(revoked(*partition)))?;
            states.extend(session.kept.states.of(*partition, product)?);
        }
        Ok(states)
    }

    async fn commit(&mut self, commit: Commit) -> Result<(), CommitError> {
        let committed = self.ask(|answer| Request::Commit(commit, answer)).await;
        committed.unwrap_or_else(|| Err(CommitError::Unknown(GONE.into())))
    }
}

/// The state of the worker's thread.
struct Worker {
    options: Options,
    member: Arc<GroupConsumer>,
    transactions: Transactions,
    shared: Shared,
    records: Records,
}

/// A state to commit, and its encoding. `None` means an empty state, which is deleted.
type Encoded = (StateKey, ProductState, Option<Vec<u8>>);

impl Worker {
    fn run(mut self, inbox: &mpsc::Receiver<Request>) {
        while let Ok(request) = inbox.recv() {
            // The caller may no longer wait for the answer; the request is carried out all the
            // same.
            match request {
                Request::Restore(answer) => {
                    let _ = answer.send(self.restore());
                }
                Request::Commit(commit, answer) => {
                    let _ = answer.send(self.commit(commit));
                }
            }
        }
    }

    /// Acquires new partitions. Partitions that stayed with this worker keep their states. The
    /// source then reads all of them from their committed offsets.
    fn restore(&mut self) -> Result<Restored, Error> {
        if !self.transactions.is_ready() {
            lock(&self.shared).sessions.forget();
            self.transactions.prepare()?;
        }
        let version = self.member.version();
        let held = self.member.held();
        let new = {
            let mut shared = lock(&self.shared);
            shared.sessions.drop_lost(&held);
            shared.sessions.stop(BTreeMap::new());
            shared.sessions.to_acquire(&held)
        };
        let nothing = held.is_empty() && self.member.assignment_is_ready(version);
        if nothing || !new.is_empty() {
            let id = self.transactions.id().to_owned();
            let notifier = Notifier { options: &self.options, member: &self.member, version, id: &id };
            let partitions = acquire(&notifier, &mut self.transactions, &new)?;
            let mut shared = lock(&self.shared);
            for (held, next, states) in partitions.acquired {
                shared.sessions.serve(held, next, Kept::acquired(states));
            }
            shared.sessions.stop(partitions.stopped);
        }
        let restored = self.restored(version)?;
        self.member.read_only(&restored.offsets);
        Ok(restored)
    }

    fn restored(&self, version: u64) -> Result<Restored, Error> {
        let mut shared = lock(&self.shared);
        shared.sessions.complete(version);
        shared.held_back.clear();
        shared.retry_later();
        let mut restored = Restored { offsets: shared.sessions.offsets(), ..Restored::default() };
        for (_, session) in shared.sessions.iter() {
            restored.unfinished.extend(session.kept.states.unfinished()?);
        }
        Ok(restored)
    }

    fn commit(&mut self, commit: Commit) -> Result<(), CommitError> {
        let held = self.held(&commit)?;
        let states = encode(commit.states);
        self.begin_fan_out(&states);
        let began = Instant::now();
        let offsets = GroupOffset::all_of_engine(&commit.offsets);
        let id = self.transactions.id().to_owned();
        let fence = Fence { member: &self.member, held: &held, offsets: &offsets };
        let (options, records) = (&self.options, &mut self.records);
        let published = Published {
            options,
            fan_outs: &commit.fan_outs,
            removals: &commit.removals,
            rejected_records: &commit.rejected_records,
        };
        let committed = self.transactions.commit(&fence, |producer, part| match part {
            Part::Published => published.send(producer, records),
            Part::Removals => published.send_removals(producer, records),
            Part::States => {
                send_states(options, producer, records, &states)?;
                send_positions(options, producer, records, &commit.offsets, &id)
            }
        });
        if let Err(error) = committed {
            if matches!(error, CommitError::Unknown(_)) {
                lock(&self.shared).sessions.forget();
            }
            return Err(error);
        }
        self.options.metrics.committed(began.elapsed(), published.notifications());
        self.remember(states, &commit.offsets);
        Ok(())
    }

    /// Marks the fan-outs of these states as unfinished. This is done before the commit, because
    /// the commit may succeed before this worker receives the response. No notified watch of these
    /// products is removed while the mark exists. The commit that ends the fan-out clears the mark.
    /// If this commit fails, the next commit of the same state sets or clears it.
    fn begin_fan_out(&self, states: &[Encoded]) {
        let mut shared = lock(&self.shared);
        for (key, _, _) in states.iter().filter(|(_, state, _)| state.holds_removals()) {
            if let Some(session) = shared.sessions.get_mut(key.partition) {
                session.kept.states.begin_fan_out(key);
            }
        }
    }

    /// Returns the partitions that a commit touches, with their epochs.
    fn held(&self, commit: &Commit) -> Result<Vec<PartitionEpoch>, CommitError> {
        let touched: BTreeSet<Partition> = commit.offsets.iter().map(|(partition, _)| *partition).collect();
        debug_assert!(commit.states.iter().all(|(key, _)| touched.contains(&key.partition)));
        let epochs = lock(&self.shared).sessions.epochs_of(touched);
        epochs.map_err(|partition| CommitError::Fenced(revoked(partition)))
    }

    fn remember(&self, states: Vec<Encoded>, offsets: &[(Partition, i64)]) {
        let mut shared = lock(&self.shared);
        for (partition, next) in offsets {
            if let Some(session) = shared.sessions.get_mut(*partition) {
                advance(session, *next);
            }
        }
        let mut rows = Vec::new();
        for (key, state, bytes) in states {
            let Some(session) = shared.sessions.get_mut(key.partition) else { continue };
            // A state that was not evaluated again is not shown, because that would show an old
            // price with a new offset.
            let shows = self.options.prices.is_some() && session.kept.states.last(&key) != state.last;
            session.kept.states.remember(&key, Some(&state), bytes.as_deref());
            if shows {
                let (next_offset, revision) = (session.next, session.kept.revision);
                rows.push(PriceRow { key, next_offset, revision, last: state.last, floor: state.floor });
            }
        }
        drop(shared);
        if let Some(prices) = &self.options.prices {
            prices.show(rows);
        }
    }
}

fn revoked(partition: Partition) -> Cause {
    format!("partition {} was revoked", partition.0).into()
}

/// Encodes states; an empty one is deleted.
fn encode(states: Vec<(StateKey, ProductState)>) -> Vec<Encoded> {
    let encode = |(key, state): (StateKey, ProductState)| {
        let bytes = (state != ProductState::default()).then(|| state.encode());
        (key, state, bytes)
    };
    states.into_iter().map(encode).collect()
}

/// The parts of a commit that other consumers read.
struct Published<'a> {
    options: &'a Options,
    fan_outs: &'a [pricedrop_model::FanOutBlock],
    removals: &'a [pricedrop_model::Removal],
    rejected_records: &'a [RejectedRecord],
}

impl Published<'_> {
    fn notifications(&self) -> u64 {
        self.fan_outs.iter().map(|block| block.told.len() as u64).sum()
    }

    fn send(&self, producer: &RawProducer, records: &mut Records) -> Result<(), ProducerError> {
        if self.options.shadow {
            return Ok(());
        }
        self.send_notifications(producer, records)?;
        self.rejected_records.iter().try_for_each(|rejected| self.send_dead(producer, rejected))
    }

    fn send_notifications(&self, producer: &RawProducer, records: &mut Records) -> Result<(), ProducerError> {
        let topics = &self.options.settings.topics;
        records.clear();
        for block in self.fan_outs {
            let mut renderer = Renderer::new(block, &topics.prices, self.options.format);
            for (user, watch_price) in block.told.iter() {
                records.push(BY_KEY, user.as_bytes(), |out| {
                    renderer.write(out, user, watch_price);
                    Value::Written
                });
                if records.len() >= SEND_RECORDS {
                    producer.send(&topics.notifications, records)?;
                    records.clear();
                }
            }
        }
        producer.send(&topics.notifications, records)
    }

    fn send_removals(&self, producer: &RawProducer, records: &mut Records) -> Result<(), ProducerError> {
        records.clear();
        if self.options.shadow {
            return Ok(());
        }
        // A removal goes to the partition of its update, because the owner of that partition knows
        // whether the fan-out of the product is unfinished.
        let partitions =
            self.fan_outs.iter().map(|block| (&block.product, block.priced.position.partition.0));
        let partitions: HashMap<&ProductId, i32> = partitions.collect();
        for removal in self.removals {
            let partition = partitions.get(&removal.product).copied().unwrap_or(BY_KEY);
            records.push(partition, removal.product.as_str().as_bytes(), |out| {
                serde_json::to_writer(out, removal).expect("a removal is plain values");
                Value::Written
            });
        }
        producer.send(&self.options.settings.topics.removals, records)
    }

    fn send_dead(&self, producer: &RawProducer, rejected: &RejectedRecord) -> Result<(), ProducerError> {
        let settings = &self.options.settings;
        let (record, position) = (&rejected.record, rejected.record.position);
        // The topic of dead letters may have Kafka's default limit, which `RECORD_BYTES` stays
        // below.
        let most = settings.record_bytes().min(RECORD_BYTES).saturating_sub(RECORD_OVERHEAD_BYTES);
        let key = record.key.as_deref().map(|key| &key[..key.len().min(most)]);
        let room = most - key.map_or(0, <[u8]>::len);
        let value = record.value.as_deref().map(|value| &value[..value.len().min(room)]);
        let reason = &rejected.reason[..rejected.reason.floor_char_boundary(REASON_BYTES)];
        let mut headers = vec![
            ("__connect.errors.topic", settings.topics.prices.clone()),
            ("__connect.errors.partition", position.partition.0.to_string()),
            ("__connect.errors.offset", position.offset.to_string()),
            ("__connect.errors.exception.message", reason.to_owned()),
        ];
        let full = record.value.as_ref().map_or(0, |value| value.len());
        let cut =
            full > value.map_or(0, <[u8]>::len) || record.key.as_ref().map_or(0, |key| key.len()) > most;
        if cut {
            headers.push(("pricedrop.truncated", full.to_string()));
        }
        producer.send_letter(&HeaderRecord {
            topic: &settings.topics.dead_updates,
            key,
            value,
            headers: &headers,
        })
    }
}

fn send_states(
    options: &Options,
    producer: &RawProducer,
    records: &mut Records,
    states: &[Encoded],
) -> Result<(), ProducerError> {
    records.clear();
    let mut name = Vec::new();
    for (key, _, bytes) in states {
        name.clear();
        write_key(&mut name, key.currency, &key.product);
        records.push(key.partition.0, &name, |out| match bytes {
            Some(bytes) => {
                out.extend_from_slice(bytes);
                Value::Written
            }
            None => Value::Tombstone,
        });
    }
    producer.send(&options.settings.topics.state, records)
}

/// Sends positions after the states, so that a reader of a position has read its states.
fn send_positions(
    options: &Options,
    producer: &RawProducer,
    records: &mut Records,
    offsets: &[(Partition, i64)],
    id: &str,
) -> Result<(), ProducerError> {
    records.clear();
    offsets.iter().for_each(|(partition, next)| Position::push(records, *partition, *next, id));
    producer.send(&options.settings.topics.state, records)
}
