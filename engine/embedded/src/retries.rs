//! The retry queue: deliveries that wait for their next attempt. Each has two rows, one by delivery
//! key, and one by channel and due time.

use std::sync::Arc;

use async_trait::async_trait;
use fjall::Slice;
use pricedrop_model::WallTime;
use pricedrop_model::dispatch::{Retry, RetryQueue};
use pricedrop_model::ports::Error;

use super::shared::Inner;
use super::store::Store;
use super::store_handle::ReadError;
use super::tables::Table;
use super::txn::Txn;
use super::{keys, rows};

/// The retries of the store.
#[derive(Clone)]
pub struct EmbeddedRetries(Arc<Inner>);

impl EmbeddedRetries {
    pub(super) fn new(inner: Arc<Inner>) -> EmbeddedRetries {
        EmbeddedRetries(inner)
    }
}

pub(super) fn due_key(retry: &Retry) -> Vec<u8> {
    let mut key = keys::name(&retry.to.channel);
    key.extend(keys::number(retry.due.0.max(0)));
    keys::push_name(&mut key, &retry.key);
    key
}

fn read(txn: &Txn<'_>, key: &[u8]) -> Result<Option<Retry>, ReadError> {
    let decode = |bytes: Slice| rows::from_json(&bytes);
    Ok(txn.get(Table::Retries, key)?.map(decode).transpose()?)
}

fn remove(txn: &mut Txn<'_>, key: Vec<u8>) -> Result<(), ReadError> {
    if let Some(old) = read(txn, &key)? {
        txn.remove(Table::Due, due_key(&old));
        txn.remove(Table::Retries, key);
    }
    Ok(())
}

fn put(txn: &mut Txn<'_>, retry: &Retry) -> Result<(), ReadError> {
    let key = keys::name(&retry.key);
    if let Some(old) = read(txn, &key)? {
        txn.remove(Table::Due, due_key(&old));
    }
    txn.put(Table::Due, due_key(retry), key.clone());
    txn.put(Table::Retries, key, rows::to_json(retry));
    Ok(())
}

fn take(
    txn: &mut Txn<'_>,
    channel: &str,
    now: WallTime,
    until: WallTime,
    most: usize,
) -> Result<Vec<Retry>, ReadError> {
    let prefix = keys::name(channel);
    let mut taken = Vec::new();
    for (due, key) in txn.range(Table::Due, &prefix, &prefix, most)? {
        let at = keys::split_number(&due[..prefix.len() + 8])?;
        if at > now.0 {
            break;
        }
        let Some(retry) = read(txn, &key)? else { continue };
        put(txn, &Retry { due: until, ..retry.clone() })?;
        taken.push(retry);
    }
    Ok(taken)
}

fn waiting(store: &Store) -> Result<Vec<(String, u64)>, ReadError> {
    let mut counts: Vec<(String, u64)> = Vec::new();
    for guard in store.prefix(Table::Due, &[]) {
        let key = guard.key()?;
        let (channel, _) = keys::take_name(&key)?;
        match counts.last_mut() {
            Some((last, count)) if *last == channel => *count += 1,
            _ => counts.push((channel, 1)),
        }
    }
    Ok(counts)
}

#[async_trait]
impl RetryQueue for EmbeddedRetries {
    async fn put(&self, retries: Vec<Retry>) -> Result<(), Error> {
        let written = self.0.writer().write(move |txn| retries.iter().try_for_each(|retry| put(txn, retry)));
        Ok(written.await?)
    }

    async fn take(
        &self,
        channel: &str,
        now: WallTime,
        until: WallTime,
        most: usize,
    ) -> Result<Vec<Retry>, Error> {
        // A read needs no sync, and usually nothing is due.
        let prefix = keys::name(channel);
        let none_due = self.0.shared.store.read(|store| {
            let first = store.prefix(Table::Due, &prefix).next().map(|guard| guard.key()).transpose()?;
            let Some(first) = first else { return Ok(true) };
            Ok(keys::split_number(&first[..prefix.len() + 8])? > now.0)
        })?;
        if none_due {
            return Ok(Vec::new());
        }
        let channel = channel.to_owned();
        Ok(self.0.writer().write(move |txn| take(txn, &channel, now, until, most)).await?)
    }

    async fn remove(&self, retries: &[Retry]) -> Result<(), Error> {
        let keys: Vec<Vec<u8>> = retries.iter().map(|retry| keys::name(&retry.key)).collect();
        let removed = self.0.writer().write(move |txn| keys.into_iter().try_for_each(|key| remove(txn, key)));
        Ok(removed.await?)
    }

    async fn waiting(&self) -> Result<Vec<(String, u64)>, Error> {
        self.0.shared.store.read(waiting)
    }
}
