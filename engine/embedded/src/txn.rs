//! A group of writes that is not committed yet. Its reads see its own changes.

use std::collections::BTreeMap;
use std::ops::Bound;

use fjall::Slice;

use super::error::Broken;
use super::keys;
use super::store::Store;
use super::store_handle::ReadError;
use super::tables::{TABLES, Table};
use super::watch_clock::{Stamp, WatchClock};

/// Numbers that the writer assigns. They are read from the store when it opens.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counters {
    /// The offset of the next notification.
    pub(super) next_notification: i64,
    /// The offset of the next dead letter.
    pub(super) next_dead_letter: i64,
    /// The number of the next bucket index.
    pub(super) next_index: u64,
}

/// Keys of single values.
pub(super) const NEXT_NOTIFICATION: &[u8] = b"next-notification";
pub(super) const NEXT_INDEX: &[u8] = b"next-index";
pub(super) const NEXT_DEAD_LETTER: &[u8] = b"next-dead-letter";
pub(super) const CLOCK: &[u8] = b"clock";

/// A group of writes.
pub(super) struct Txn<'a> {
    store: &'a Store,
    watch_clock: &'a WatchClock,
    pub(super) counters: &'a mut Counters,
    stamp: Option<Stamp>,
    changes: Vec<Change>,
    /// The readable changes by table and key; `None` means deleted.
    latest: Vec<BTreeMap<Slice, Option<Slice>>>,
}

struct Change {
    table: Table,
    key: Slice,
    value: Option<Slice>,
    /// Whether reads of this group see it.
    readable: bool,
}

impl<'a> Txn<'a> {
    pub(super) fn new(store: &'a Store, watch_clock: &'a WatchClock, counters: &'a mut Counters) -> Txn<'a> {
        let latest = TABLES.iter().map(|_| BTreeMap::new()).collect();
        Txn { store, watch_clock, counters, stamp: None, changes: Vec::new(), latest }
    }

    /// Returns how many rows it changes.
    pub(super) fn len(&self) -> usize {
        self.changes.len()
    }

    /// Returns the times of all watches that this group writes.
    pub(super) fn stamp(&mut self) -> Stamp {
        *self.stamp.get_or_insert_with(|| self.watch_clock.stamp())
    }

    /// Reads a row with this group's changes.
    pub(super) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Slice>, ReadError> {
        match self.latest[table as usize].get(key) {
            Some(change) => Ok(change.clone()),
            None => Ok(self.store.get(table, key)?),
        }
    }

    /// Reads the first rows from `from` on that start with `prefix`, with this group's changes.
    pub(super) fn range(
        &self,
        table: Table,
        prefix: &[u8],
        from: &[u8],
        most: usize,
    ) -> Result<Vec<(Slice, Slice)>, ReadError> {
        let changed = &self.latest[table as usize];
        let end = keys::behind(prefix);
        let bounds = |from: &[u8]| {
            let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            (Bound::Included(from.to_vec()), end.map(<[u8]>::to_vec))
        };
        let mut ours = changed.range::<[u8], _>(as_bytes(&bounds(from))).peekable();
        let mut rows = Vec::new();
        for guard in self.store.table(table).range(bounds(from)) {
            let (key, value) = guard.into_inner()?;
            while let Some((our_key, our_value)) = ours.next_if(|(our_key, _)| **our_key < key) {
                rows.extend(our_value.clone().map(|value| (our_key.clone(), value)));
            }
            if !changed.contains_key(&key) {
                rows.push((key, value));
            }
            if rows.len() >= most {
                break;
            }
        }
        if rows.len() < most {
            rows.extend(ours.filter_map(|(key, value)| Some((key.clone(), value.clone()?))));
            rows.sort_by(|(a, _), (b, _)| a.cmp(b));
        }
        rows.truncate(most);
        Ok(rows)
    }

    /// Writes a row.
    pub(super) fn put(&mut self, table: Table, key: impl Into<Slice>, value: impl Into<Slice>) {
        self.change(table, key.into(), Some(value.into()));
    }

    /// Deletes a row.
    pub(super) fn remove(&mut self, table: Table, key: impl Into<Slice>) {
        self.change(table, key.into(), None);
    }

    fn change(&mut self, table: Table, key: Slice, value: Option<Slice>) {
        self.latest[table as usize].insert(key.clone(), value.clone());
        self.changes.push(Change { table, key, value, readable: true });
    }

    /// Writes a row that reads of this group do not see.
    pub(super) fn append(&mut self, table: Table, key: impl Into<Slice>, value: impl Into<Slice>) {
        self.changes.push(Change { table, key: key.into(), value: Some(value.into()), readable: false });
    }

    /// Undoes all changes except the first `kept`.
    pub(super) fn undo_to(&mut self, kept: usize) {
        if self.changes.len() == kept {
            return;
        }
        self.changes.truncate(kept);
        self.latest.iter_mut().for_each(BTreeMap::clear);
        for change in self.changes.iter().filter(|change| change.readable) {
            self.latest[change.table as usize].insert(change.key.clone(), change.value.clone());
        }
    }

    /// Commits all changes as one batch, and syncs it.
    pub(super) fn commit(self, latest_times: [i64; 2]) -> fjall::Result<()> {
        if self.changes.is_empty() {
            return Ok(());
        }
        let clock = (Table::Meta, Slice::from(CLOCK), Some(Slice::from(encode_pair(latest_times))));
        let changes = self.changes.into_iter().map(|change| (change.table, change.key, change.value));
        self.store.commit(std::iter::once(clock).chain(changes))
    }
}

fn as_bytes(bounds: &(Bound<Vec<u8>>, Bound<Vec<u8>>)) -> (Bound<&[u8]>, Bound<&[u8]>) {
    (bounds.0.as_ref().map(Vec::as_slice), bounds.1.as_ref().map(Vec::as_slice))
}

fn encode_pair([a, b]: [i64; 2]) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&a.to_be_bytes());
    bytes[8..].copy_from_slice(&b.to_be_bytes());
    bytes
}

/// Reads the latest wall time (milliseconds) and write time (microseconds) of a store.
pub(super) fn stored_times(store: &Store) -> Result<[i64; 2], ReadError> {
    let Some(bytes) = store.get(Table::Meta, CLOCK)? else { return Ok([0; 2]) };
    let bytes: [u8; 16] =
        bytes[..].try_into().map_err(|_| Broken("the row of the clock does not have 16 bytes".into()))?;
    let (a, b) = bytes.split_at(8);
    Ok([a, b].map(|half| i64::from_be_bytes(half.try_into().expect("a half of 16 bytes is 8"))))
}

/// Reads a stored number; 0 if there is none.
pub(super) fn stored_number(store: &Store, key: &[u8]) -> Result<i64, ReadError> {
    Ok(store.get(Table::Meta, key)?.map(|bytes| keys::split_number(&bytes)).transpose()?.unwrap_or(0))
}

impl Counters {
    /// Reads the counters of a store.
    pub(super) fn read(store: &Store) -> Result<Counters, ReadError> {
        Ok(Counters {
            next_notification: stored_number(store, NEXT_NOTIFICATION)?,
            next_dead_letter: stored_number(store, NEXT_DEAD_LETTER)?,
            next_index: stored_number(store, NEXT_INDEX)? as u64,
        })
    }
}
