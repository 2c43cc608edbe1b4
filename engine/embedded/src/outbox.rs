//! The outbox: a log of notifications in blocks. A row is a block of up to `BLOCK_NOTIFICATIONS`
//! users of one fan-out, with the offset of its first notification as its key. A notification's
//! offset is that of its block plus its position in it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use fjall::Readable;
use pricedrop_model::archive::ArchivedRecord;
use pricedrop_model::dispatch::{NotificationLog, NotificationReader};
use pricedrop_model::fan_out::ToldList;
use pricedrop_model::notification::{Format, IdSource, Renderer};
use pricedrop_model::ports::Error;
use pricedrop_model::{
    Cause, Currency, FanOutBlock, Notification, Partition, Position, Price, Priced, ProductId, UserId,
    WallTime,
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::error::Broken;
use super::limits::{BLOCK_NOTIFICATIONS, PRUNE_BLOCKS};
use super::shared::Inner;
use super::store::Store;
use super::store_handle::ReadError;
use super::tables::Table;
use super::topics::{INPUT_TOPIC, PARTITION};
use super::txn::{NEXT_NOTIFICATION, Txn, stored_number};
use super::{keys, rows};

/// A block as it is stored.
#[derive(Debug, Serialize, Deserialize)]
struct Block {
    /// When it was committed.
    at: WallTime,
    product: ProductId,
    currency: Currency,
    priced: Priced,
    previous: Option<Price>,
    told: ToldList,
}

/// Appends blocks. It cannot fail, so no offset is skipped.
pub(super) fn append(txn: &mut Txn<'_>, blocks: Vec<FanOutBlock>, at: WallTime) {
    for block in blocks {
        let FanOutBlock { product, currency, priced, previous, told } = block;
        if told.len() <= BLOCK_NOTIFICATIONS {
            append_row(txn, &Block { at, product, currency, priced, previous, told });
            continue;
        }
        for told in told.chunks(BLOCK_NOTIFICATIONS) {
            let (product, priced) = (product.clone(), priced.clone());
            append_row(txn, &Block { at, product, currency, priced, previous, told });
        }
    }
    let next = keys::number(txn.counters.next_notification);
    txn.append(Table::Meta, NEXT_NOTIFICATION, next);
}

fn append_row(txn: &mut Txn<'_>, block: &Block) {
    if block.told.is_empty() {
        return;
    }
    let first = txn.counters.next_notification;
    txn.counters.next_notification += block.told.len() as i64;
    txn.append(Table::Outbox, keys::number(first), rows::encode(block));
}

/// Returns the key of a reader's cursor. Blocks after any reader's cursor are kept.
pub(super) fn cursor_key(reader: &str) -> Vec<u8> {
    [CURSOR, reader.as_bytes()].concat()
}

/// Decodes a stored block: when it was committed, and its notifications.
pub(super) fn read_block(value: &[u8]) -> Result<(WallTime, FanOutBlock), Broken> {
    let Block { at, product, currency, priced, previous, told } = rows::decode(value)?;
    Ok((at, FanOutBlock { product, currency, priced, previous, told }))
}

/// Returns the notifications of a block whose first offset is `first`.
fn notifications(first: i64, block: &FanOutBlock) -> Result<Vec<(i64, Notification)>, Broken> {
    let priced = &block.priced;
    let mut ids = IdSource::new(INPUT_TOPIC, &block.product, priced.price, priced.id_position());
    let one = |(offset, (user, watch_price)): (i64, (&str, Price))| {
        let notification = Notification {
            user_id: UserId::new(user).map_err(|error| Broken(Cause::of(error)))?,
            product_id: block.product.clone(),
            new_price: priced.price,
            id: Some(ids.id(user)),
            watch_price: Some(watch_price),
            previous_price: block.previous,
            currency: Some(block.currency),
            occurred_at: priced.occurred_at.map(|at| at.to_string()),
            title: priced.title.clone(),
            url: priced.url.clone(),
        };
        Ok((offset, notification))
    };
    (first..).zip(block.told.iter()).map(one).collect()
}

/// Returns the blocks from the one that contains `from` on, each with its first offset.
fn blocks(
    store: &Store,
    from: i64,
) -> Result<impl Iterator<Item = Result<(i64, WallTime, FanOutBlock), ReadError>>, ReadError> {
    let snapshot = store.snapshot();
    let table = store.table(Table::Outbox);
    let before = snapshot.range(table, ..=keys::number(from)).next_back();
    let first = before.map(|guard| guard.key()).transpose()?;
    let start = first.unwrap_or_else(|| keys::number(from).into());
    Ok(snapshot.range(table, start..).map(|guard| {
        let (key, value) = guard.into_inner()?;
        let (at, block) = read_block(&value)?;
        Ok((keys::split_number(&key)?, at, block))
    }))
}

/// Reads notifications from an offset on, at most `most`.
pub(super) fn read(store: &Store, from: i64, most: usize) -> Result<Vec<(i64, Notification)>, ReadError> {
    let mut read = Vec::new();
    for block in blocks(store, from)? {
        let (first, _, block) = block?;
        read.extend(notifications(first, &block)?.into_iter().filter(|(offset, _)| *offset >= from));
        if read.len() >= most {
            break;
        }
    }
    read.truncate(most);
    Ok(read)
}

/// Writes notifications from an offset on as JSON lines, at most `most`. Returns the offset after
/// them.
pub(super) fn render(store: &Store, from: i64, most: usize, out: &mut Vec<u8>) -> Result<i64, ReadError> {
    let (mut next, mut left) = (from, most);
    for block in blocks(store, from)? {
        let (first, _, block) = block?;
        let mut renderer = Renderer::new(&block, INPUT_TOPIC, Format::Full);
        for (offset, (user, watch_price)) in (first..).zip(block.told.iter()) {
            if left == 0 {
                return Ok(next);
            }
            if offset >= from {
                renderer.write(out, user, watch_price);
                out.push(b'\n');
                (next, left) = (offset + 1, left - 1);
            }
        }
    }
    Ok(next)
}

/// Reads notifications from an offset on for the archive, at most `most`.
pub(super) fn archived(store: &Store, from: i64, most: usize) -> Result<Vec<ArchivedRecord>, ReadError> {
    let mut records = Vec::new();
    for block in blocks(store, from)? {
        let (first, at, block) = block?;
        let mut renderer = Renderer::new(&block, INPUT_TOPIC, Format::Full);
        for (offset, (user, watch_price)) in (first..).zip(block.told.iter()) {
            if records.len() == most {
                return Ok(records);
            }
            if offset >= from {
                let mut value = Vec::new();
                renderer.write(&mut value, user, watch_price);
                records.push(ArchivedRecord {
                    offset,
                    timestamp_ms: at.0,
                    key: Some(Bytes::copy_from_slice(user.as_bytes())),
                    value: Some(value.into()),
                    headers: Vec::new(),
                });
            }
        }
    }
    Ok(records)
}

const CURSOR: &[u8] = b"cursor/";

/// Deletes blocks that every cursor has passed, the archiver's included, and that are old enough.
/// Returns whether there may be more. Without any cursor all blocks are kept.
pub(super) fn prune_step(txn: &mut Txn<'_>, older_than: WallTime) -> Result<bool, ReadError> {
    let cursors = txn.range(Table::Meta, CURSOR, CURSOR, usize::MAX)?;
    let cursors = cursors.iter().map(|(_, value)| keys::split_number(value));
    let Some(done) = cursors.collect::<Result<Vec<i64>, _>>()?.into_iter().min() else { return Ok(false) };
    let blocks = txn.range(Table::Outbox, &[], &[], PRUNE_BLOCKS + 1)?;
    let firsts = blocks.iter().map(|(key, _)| keys::split_number(key)).collect::<Result<Vec<i64>, _>>()?;
    let ends = firsts.iter().skip(1).copied().chain([txn.counters.next_notification]);
    let mut pruned = 0;
    for ((key, value), end) in blocks.iter().zip(ends).take(PRUNE_BLOCKS) {
        let (at, _) =
            postcard::take_from_bytes::<WallTime>(value).map_err(|error| Broken(Cause::of(error)))?;
        if end > done || at >= older_than {
            break;
        }
        txn.remove(Table::Outbox, key.clone());
        pruned += 1;
    }
    Ok(pruned == PRUNE_BLOCKS)
}

/// The outbox for the API, which shows notifications.
pub struct EmbeddedOutbox(Arc<Inner>);

impl EmbeddedOutbox {
    pub(super) fn new(inner: Arc<Inner>) -> EmbeddedOutbox {
        EmbeddedOutbox(inner)
    }
}

#[async_trait]
impl NotificationReader for EmbeddedOutbox {
    async fn read(&self, _: Partition, from: i64, most: usize) -> Result<(Vec<u8>, i64), Error> {
        let mut lines = Vec::new();
        let next = self.0.shared.store.read(|store| render(store, from.max(0), most, &mut lines))?;
        Ok((lines, next))
    }

    async fn partitions(&self) -> Result<usize, Error> {
        Ok(1)
    }
}

/// The outbox as one dispatcher reads it.
pub struct EmbeddedNotifications {
    inner: Arc<Inner>,
    cursor: Vec<u8>,
    /// The next offset to read. `None` means that of the stored cursor.
    next: Option<i64>,
    /// Notifications that were read but not returned yet.
    read: VecDeque<(i64, Notification)>,
    written: watch::Receiver<i64>,
}

impl EmbeddedNotifications {
    pub(super) fn new(inner: Arc<Inner>, dispatcher: &str) -> EmbeddedNotifications {
        let written = inner.shared.written.subscribe();
        let cursor = cursor_key(dispatcher);
        EmbeddedNotifications { inner, cursor, next: None, read: VecDeque::new(), written }
    }

    fn fill(&mut self, most: usize) -> Result<(), Error> {
        let (next, cursor) = (self.next, &self.cursor);
        let (next, read) = self.inner.shared.store.read(|store| {
            let next = match next {
                Some(next) => next,
                None => stored_number(store, cursor)?,
            };
            Ok((next, read(store, next, most.max(BLOCK_NOTIFICATIONS))?))
        })?;
        self.next = Some(read.last().map_or(next, |(offset, _)| offset + 1));
        self.read.extend(read);
        Ok(())
    }
}

#[async_trait]
impl NotificationLog for EmbeddedNotifications {
    async fn next_batch(
        &mut self,
        most: usize,
        wait_ms: u64,
    ) -> Result<Vec<(Position, Notification)>, Error> {
        let until = Instant::now() + Duration::from_millis(wait_ms);
        loop {
            self.written.mark_unchanged();
            if self.read.is_empty() {
                self.fill(most)?;
            }
            let most = most.min(self.read.len());
            if most > 0 {
                let at = |offset| Position { partition: PARTITION, offset };
                let batch = self.read.drain(..most);
                return Ok(batch.map(|(offset, notification)| (at(offset), notification)).collect());
            }
            if !matches!(timeout_at(until, self.written.changed()).await, Ok(Ok(()))) {
                return Ok(Vec::new());
            }
        }
    }

    async fn commit(&mut self, next: &[(Partition, i64)]) -> Result<(), Error> {
        let Some((_, next_offset)) = next.first().copied() else { return Ok(()) };
        let cursor = self.cursor.clone();
        let written = self.inner.writer().write(move |txn| {
            txn.put(Table::Meta, cursor, keys::number(next_offset));
            Ok(())
        });
        Ok(written.await?)
    }
}
