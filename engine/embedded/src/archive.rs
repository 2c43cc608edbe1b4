//! Reads updates, notifications and dead letters for the archiver, each as a topic with one
//! partition.
//!
//! Notifications are read from the outbox. The store does not keep updates, and a dead letter can
//! be removed at any time. Therefore the batch that commits an update or a dead letter also writes
//! a copy to [`Table::Unarchived`]. The copy is deleted once the archive has stored it.
//!
//! Invariant: no record of an archived topic is deleted before [`ArchiveSource::archived`] got an
//! offset after it. An unreachable object store costs disk space, never records.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pricedrop_model::archive::{ArchiveSource, ArchivedRecord};
use pricedrop_model::ports::Error;
use pricedrop_model::{Partition, Record, WallTime};
use serde::{Deserialize, Serialize};

use super::limits::{ARCHIVE_BATCH, ARCHIVE_BATCH_BYTES, STEP_ROWS};
use super::shared::Inner;
use super::store::Store;
use super::store_handle::ReadError;
use super::tables::Table;
use super::topics::{ArchivedTopic, PARTITION};
use super::txn::{NEXT_DEAD_LETTER, NEXT_NOTIFICATION, Txn, stored_number};
use super::{keys, offsets, outbox, rows};

impl ArchivedTopic {
    /// Returns the key of the archiver's offset in this topic. For notifications it is a cursor of
    /// the outbox, because the outbox keeps all blocks after its cursors.
    fn cursor(self) -> Vec<u8> {
        match self {
            ArchivedTopic::Notifications => outbox::cursor_key("archiver"),
            other => [b"archived/", other.name().as_bytes()].concat(),
        }
    }

    /// Returns the offset after its last record.
    fn end(self, store: &Store) -> Result<i64, ReadError> {
        match self {
            ArchivedTopic::Updates => offsets::input_offset(store),
            ArchivedTopic::Notifications => stored_number(store, NEXT_NOTIFICATION),
            ArchivedTopic::DeadLetters => stored_number(store, NEXT_DEAD_LETTER),
        }
    }

    /// Returns the offset of its first record, or its end if it has none.
    fn first(self, store: &Store) -> Result<i64, ReadError> {
        let first = match self {
            ArchivedTopic::Notifications => store.prefix(Table::Outbox, &[]).next(),
            other => store.prefix(Table::Unarchived, &[other as u8]).next(),
        };
        match first {
            Some(guard) => Ok(keys::split_number(&guard.key()?)?),
            None => self.end(store),
        }
    }

    fn read(self, store: &Store, from: i64) -> Result<Vec<ArchivedRecord>, ReadError> {
        if self == ArchivedTopic::Notifications {
            return outbox::archived(store, from, ARCHIVE_BATCH);
        }
        let (mut records, mut bytes) = (Vec::new(), 0);
        let offsets = key(self, from)..=key(self, i64::MAX);
        for guard in fjall::Readable::range(&store.snapshot(), store.table(Table::Unarchived), offsets) {
            let (key, value) = guard.into_inner()?;
            bytes += value.len();
            records.push(record(keys::split_number(&key)?, &value)?);
            if records.len() >= ARCHIVE_BATCH || bytes >= ARCHIVE_BATCH_BYTES {
                break;
            }
        }
        Ok(records)
    }
}

const STORE_ID: &[u8] = b"store-id";

/// A record that waits to be archived.
#[derive(Serialize, Deserialize)]
struct Row<'a> {
    timestamp_ms: i64,
    #[serde(borrow)]
    key: Option<&'a [u8]>,
    #[serde(borrow)]
    value: Option<&'a [u8]>,
}

fn key(topic: ArchivedTopic, offset: i64) -> Vec<u8> {
    let mut key = vec![topic as u8];
    key.extend(keys::number(offset));
    key
}

fn record(offset: i64, row: &[u8]) -> Result<ArchivedRecord, ReadError> {
    let Row { timestamp_ms, key, value } = rows::decode(row)?;
    let bytes = |bytes: Option<&[u8]>| bytes.map(Bytes::copy_from_slice);
    Ok(ArchivedRecord { offset, timestamp_ms, key: bytes(key), value: bytes(value), headers: Vec::new() })
}

/// Copies the updates of a commit for the archive.
pub(super) fn keep_updates(txn: &mut Txn<'_>, updates: &[Record]) {
    for Record { position, key: record_key, value, timestamp, .. } in updates {
        let row = Row { timestamp_ms: timestamp.0, key: record_key.as_deref(), value: value.as_deref() };
        txn.append(Table::Unarchived, key(ArchivedTopic::Updates, position.offset), rows::encode(&row));
    }
}

/// Copies a dead letter for the archive.
pub(super) fn keep_dead_letter(txn: &mut Txn<'_>, offset: i64, at: WallTime, json: &[u8]) {
    let row = Row { timestamp_ms: at.0, key: None, value: Some(json) };
    txn.append(Table::Unarchived, key(ArchivedTopic::DeadLetters, offset), rows::encode(&row));
}

/// Starts keeping the records of archived topics, and stops keeping those of the others. It runs
/// while the store opens, before anything else writes.
pub(super) fn begin(store: &Store, archived: &[ArchivedTopic]) -> Result<(), ReadError> {
    let mut changes = Vec::new();
    for topic in ArchivedTopic::ALL {
        let cursor = topic.cursor();
        match (archived.contains(&topic), store.get(Table::Meta, &cursor)?) {
            (true, None) => changes.push((Table::Meta, cursor.into(), Some(keys::number(0).into()))),
            (false, Some(_)) => changes.push((Table::Meta, cursor.into(), None)),
            _ => {}
        }
    }
    if changes.is_empty() { Ok(()) } else { Ok(store.commit(changes)?) }
}

/// Returns the random id of this store, which is created when it first opens. The archive is tied
/// to it, because a store in another folder starts its offsets anew and must not continue this
/// archive.
pub(super) fn store_id(store: &Store) -> Result<String, ReadError> {
    if let Some(id) = store.get(Table::Meta, STORE_ID)? {
        return Ok(String::from_utf8_lossy(&id).into_owned());
    }
    let id = format!("{:032x}", rand::random::<u128>());
    store.commit([(Table::Meta, STORE_ID.into(), Some(id.as_bytes().into()))])?;
    Ok(id)
}

/// Deletes copies that the archive has stored, and those of topics that are no longer archived.
/// Returns whether there may be more.
pub(super) fn prune_step(txn: &mut Txn<'_>) -> Result<bool, ReadError> {
    let mut more = false;
    for topic in [ArchivedTopic::Updates, ArchivedTopic::DeadLetters] {
        let cursor = txn.get(Table::Meta, &topic.cursor())?;
        let archived = cursor.map(|cursor| keys::split_number(&cursor)).transpose()?;
        let prefix = [topic as u8];
        let rows = txn.range(Table::Unarchived, &prefix, &prefix, STEP_ROWS)?;
        let mut removed = 0;
        for (key, _) in rows {
            if archived.is_some_and(|next| keys::split_number(&key).is_ok_and(|offset| offset >= next)) {
                break;
            }
            txn.remove(Table::Unarchived, key);
            removed += 1;
        }
        more |= removed == STEP_ROWS;
    }
    Ok(more)
}

/// A topic of the embedded store as the archiver reads it.
pub struct EmbeddedArchiveSource {
    inner: Arc<Inner>,
    topic: ArchivedTopic,
    /// The next offset to read. `None` means that nothing is read.
    next: Option<i64>,
}

impl EmbeddedArchiveSource {
    pub(super) fn new(inner: Arc<Inner>, topic: ArchivedTopic) -> EmbeddedArchiveSource {
        EmbeddedArchiveSource { inner, topic, next: None }
    }
}

impl ArchiveSource for EmbeddedArchiveSource {
    fn topic(&self) -> &str {
        self.topic.name()
    }

    fn assigned(&mut self) -> Vec<(Partition, u64)> {
        vec![(PARTITION, 0)]
    }

    fn offsets(&mut self, _: Partition) -> Result<(i64, i64), Error> {
        let topic = self.topic;
        // The first offset is read first, because records that arrive meanwhile only move the
        // end.
        self.inner.shared.store.read(|store| Ok((topic.first(store)?, topic.end(store)?)))
    }

    fn read_from(&mut self, offsets: &[(Partition, i64)]) -> Result<(), Error> {
        self.next = offsets.first().map(|(_, offset)| *offset);
        Ok(())
    }

    fn next_batch(&mut self, wait_ms: u64) -> Result<Vec<(Partition, ArchivedRecord)>, Error> {
        let topic = self.topic;
        let records = match self.next {
            Some(next) => self.inner.shared.store.read(|store| topic.read(store, next))?,
            None => Vec::new(),
        };
        match records.last() {
            Some(last) => self.next = Some(last.offset + 1),
            // Records that arrive meanwhile are then read together.
            None => std::thread::sleep(Duration::from_millis(wait_ms)),
        }
        Ok(records.into_iter().map(|record| (PARTITION, record)).collect())
    }

    fn archived(&mut self, _: Partition, next: i64) {
        let cursor = self.topic.cursor();
        let written = self.inner.writer().send_only(move |txn| {
            txn.put(Table::Meta, cursor, keys::number(next));
            Ok(())
        });
        if let Err(error) = written {
            // This only costs disk space, because the next object moves the cursor further.
            tracing::debug!(?error, topic = self.topic.name(), "the archiver's position was not written");
        }
    }
}
