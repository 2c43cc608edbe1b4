//! Implements the notifier's commit: notifications, states, removals, dead letters and offsets in
//! one batch.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use pricedrop_model::dispatch::{DeadWhat, NewDeadLetter};
use pricedrop_model::ports::{Commit, CommitError, Committer, Error, RejectedRecord, Restored};
use pricedrop_model::{Cause, Partition, ProductId, ProductState, Record, Removal, StateKey, WallTime};

use super::error::Broken;
use super::limits::{DEAD_TEXT_BYTES, KNOWN_PRODUCTS};
use super::offsets::{offset_key, stored_offsets};
use super::shared::{Inner, Shared};
use super::store::Store;
use super::store_handle::ReadError;
use super::tables::Table;
use super::topics::{ArchivedTopic, PARTITION};
use super::txn::Txn;
use super::writer::WriteError;
use super::{archive, dead_letters, keys, outbox};

/// Commits the notifier's batches.
pub struct EmbeddedCommitter {
    inner: Arc<Inner>,
    /// Keys of the stored states that have something pending.
    unfinished: HashSet<StateKey>,
    /// Committed states of recently used products. Reading them from the store is slow, because
    /// each row has many old versions.
    known: HashMap<(Partition, ProductId), Vec<(StateKey, ProductState)>>,
}

impl EmbeddedCommitter {
    pub(super) fn new(inner: Arc<Inner>) -> EmbeddedCommitter {
        EmbeddedCommitter { inner, unfinished: HashSet::new(), known: HashMap::new() }
    }

    /// Reads the states of products that are not in memory.
    fn learn(&mut self, products: &[(Partition, ProductId)]) -> Result<(), Error> {
        if self.known.len() + products.len() > KNOWN_PRODUCTS {
            self.known.clear();
        }
        let new: Vec<_> = products.iter().filter(|place| !self.known.contains_key(*place)).cloned().collect();
        let states = self.inner.shared.store.read(|store| load(store, &new))?;
        self.known.extend(new.into_iter().map(|place| (place, Vec::new())));
        for (key, state) in states {
            self.known.entry((key.partition, key.product.clone())).or_default().push((key, state));
        }
        Ok(())
    }

    /// Returns the updates that a commit up to this offset contains, if they are archived.
    fn archived_updates(&self, offset: Option<i64>) -> Vec<Record> {
        let shared = &self.inner.shared;
        match offset {
            Some(offset) if shared.archives(ArchivedTopic::Updates) => {
                let committed = shared.committed.load(Ordering::Acquire);
                shared.uncommitted(committed..offset)
            }
            _ => Vec::new(),
        }
    }

    /// Stores a state in memory as it will be committed.
    fn remember(&mut self, key: &StateKey, state: &ProductState) {
        let Some(states) = self.known.get_mut(&(key.partition, key.product.clone())) else { return };
        states.retain(|(known, _)| known != key);
        states.push((key.clone(), state.clone()));
    }
}

/// Returns what a state has pending, one bit each. This is the value of its row in `Unfinished`.
pub(super) fn pending(state: &ProductState) -> u8 {
    u8::from(state.pending.is_some()) | (u8::from(state.holds_removals()) << 1)
}

/// Returns whether a fan-out of this product is unfinished. Its notified watches must not be
/// removed before it ends.
pub(super) fn has_open_fan_out(txn: &Txn<'_>, product: &ProductId) -> Result<bool, ReadError> {
    let prefix = keys::states_of(PARTITION, product);
    let unfinished = txn.range(Table::Unfinished, &prefix, &prefix, usize::MAX)?;
    Ok(unfinished.iter().any(|(_, flags)| flags.first().is_some_and(|flags| flags & 2 != 0)))
}

fn read_state(store: &Store, key: &[u8]) -> Result<Option<ProductState>, ReadError> {
    let stored = store.get(Table::States, key)?;
    let state = stored.map(|bytes| ProductState::decode(&bytes)).transpose();
    Ok(state.map_err(|error| Broken(Cause::of(error)))?)
}

fn restore(store: &Store) -> Result<Restored, ReadError> {
    let mut unfinished = Vec::new();
    for guard in store.prefix(Table::Unfinished, &[]) {
        let key = guard.key()?;
        let state =
            read_state(store, &key)?.ok_or_else(|| Broken("an unfinished state is missing".into()))?;
        unfinished.push((keys::split_state(&key)?, state));
    }
    Ok(Restored { offsets: stored_offsets(store)?, unfinished })
}

fn load(
    store: &Store,
    products: &[(Partition, ProductId)],
) -> Result<Vec<(StateKey, ProductState)>, ReadError> {
    let mut states = Vec::with_capacity(products.len());
    let snapshot = store.snapshot();
    for (partition, product) in products {
        let prefix = keys::states_of(*partition, product);
        for guard in fjall::Readable::prefix(&snapshot, store.table(Table::States), &prefix) {
            let (key, value) = guard.into_inner()?;
            let state = ProductState::decode(&value).map_err(|error| Broken(Cause::of(error)))?;
            states.push((keys::split_state(&key)?, state));
        }
    }
    Ok(states)
}

/// A state as the batch contains it, encoded before it reaches the writer.
struct StateRow {
    key: Vec<u8>,
    /// `None` deletes the row, because nothing is remembered.
    value: Option<Vec<u8>>,
    pending: u8,
    /// Whether its row in `Unfinished` may exist.
    was_pending: bool,
}

fn write(
    txn: &mut Txn<'_>,
    commit: Commit,
    states: Vec<StateRow>,
    updates: Vec<Record>,
    shared: &Shared,
) -> Result<i64, ReadError> {
    let now = shared.watch_clock.now();
    for row in states {
        match row.pending {
            0 if row.was_pending => txn.remove(Table::Unfinished, row.key.clone()),
            0 => {}
            flags => txn.put(Table::Unfinished, row.key.clone(), [flags]),
        }
        match row.value {
            Some(value) => txn.append(Table::States, row.key, value),
            None => txn.remove(Table::States, row.key),
        }
    }
    for Removal { product, threshold, user, write_time } in &commit.removals {
        let mut key = keys::watch(product, *threshold, user.as_str());
        key.extend(write_time.0.to_be_bytes());
        txn.put(Table::Removals, key, []);
    }
    let dead = commit.rejected_records.into_iter().map(|rejected| dead_letter(rejected, now));
    dead_letters::append(txn, dead, shared.archives(ArchivedTopic::DeadLetters));
    archive::keep_updates(txn, &updates);
    for (partition, offset) in commit.offsets {
        txn.append(Table::Meta, offset_key(partition), keys::number(offset));
    }
    if !commit.fan_outs.is_empty() {
        outbox::append(txn, commit.fan_outs, now);
    }
    Ok(txn.counters.next_notification)
}

fn dead_letter(rejected: RejectedRecord, at: WallTime) -> NewDeadLetter {
    let RejectedRecord { record, reason } = rejected;
    let full = record.value.as_ref().map_or(0, |value| value.len());
    let text = |bytes: &bytes::Bytes| {
        String::from_utf8_lossy(&bytes[..bytes.len().min(DEAD_TEXT_BYTES)]).into_owned()
    };
    let what = DeadWhat::Update {
        partition: record.position.partition.0,
        offset: record.position.offset,
        key: record.key.as_ref().map(text),
        value: record.value.as_ref().map(text),
        truncated: (full > DEAD_TEXT_BYTES).then_some(full as u64),
    };
    NewDeadLetter { at, reason, what }
}

#[async_trait]
impl Committer for EmbeddedCommitter {
    async fn restore(&mut self) -> Result<Restored, Error> {
        self.known.clear();
        let restored = self.inner.shared.store.read(restore)?;
        let stored = restored.offsets.iter().find(|(partition, _)| *partition == PARTITION);
        let stored = stored.map_or(0, |(_, offset)| *offset);
        self.inner.shared.committed.fetch_max(stored, Ordering::AcqRel);
        self.inner.shared.rewind(stored);
        self.unfinished = restored.unfinished.iter().map(|(key, _)| key.clone()).collect();
        Ok(restored)
    }

    async fn load(
        &mut self,
        products: &[(Partition, ProductId)],
    ) -> Result<Vec<(StateKey, ProductState)>, Error> {
        self.learn(products)?;
        Ok(products.iter().filter_map(|place| self.known.get(place)).flatten().cloned().collect())
    }

    async fn commit(&mut self, mut commit: Commit) -> Result<(), CommitError> {
        let states = std::mem::take(&mut commit.states);
        let mut rows = Vec::with_capacity(states.len());
        let mut finished = Vec::new();
        for (key, state) in states {
            let pending = pending(&state);
            let was_pending = match pending {
                0 => self.unfinished.contains(&key),
                _ => !self.unfinished.insert(key.clone()),
            };
            self.remember(&key, &state);
            let value = (state != ProductState::default()).then(|| state.encode());
            rows.push(StateRow { key: keys::state(&key), value, pending, was_pending });
            finished.extend((pending == 0 && was_pending).then_some(key));
        }
        let wakes = !commit.removals.is_empty() || !finished.is_empty();
        let offset = commit.offsets.iter().find(|(partition, _)| *partition == PARTITION);
        let offset = offset.map(|(_, offset)| *offset);
        let updates = self.archived_updates(offset);
        let shared = self.inner.shared.clone();
        let written = self.inner.writer().write(move |txn| write(txn, commit, rows, updates, &shared)).await;
        let next = written.map_err(|error| {
            // What is in memory may differ from what is stored.
            self.known.clear();
            match error {
                WriteError::NotCommitted(reason) => CommitError::NotCommitted(reason),
                WriteError::Unknown(reason) | WriteError::Fatal(reason) => CommitError::Unknown(reason),
            }
        })?;
        for key in finished {
            self.unfinished.remove(&key);
        }
        if let Some(offset) = offset {
            self.inner.shared.committed.fetch_max(offset, Ordering::AcqRel);
        }
        self.inner.shared.publish(next);
        if wakes {
            self.inner.shared.work.wake_for_removals();
        }
        Ok(())
    }
}
