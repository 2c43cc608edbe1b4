//! Leases and confirmations of deliveries, by delivery key. A row is a byte that says which of
//! the two it is, and a time: the lease's end or that of the confirmation. It is deleted
//! `confirmation_ms` after that time.

use std::sync::Arc;

use async_trait::async_trait;
use pricedrop_model::WallTime;
use pricedrop_model::dispatch::{Claim, Leases};
use pricedrop_model::ports::Error;

use super::error::Broken;
use super::keys;
use super::limits::STEP_ROWS;
use super::shared::Inner;
use super::store_handle::ReadError;
use super::tables::Table;
use super::txn::Txn;

const LEASED: u8 = 1;
const DELIVERED: u8 = 2;

/// The leases of the store.
#[derive(Clone)]
pub struct EmbeddedLeases(Arc<Inner>);

impl EmbeddedLeases {
    pub(super) fn new(inner: Arc<Inner>) -> EmbeddedLeases {
        EmbeddedLeases(inner)
    }
}

fn read(txn: &Txn<'_>, key: &[u8]) -> Result<Option<(u8, WallTime)>, ReadError> {
    let Some(value) = txn.get(Table::Leases, key)? else { return Ok(None) };
    let kind = *value.first().ok_or_else(|| Broken("an empty lease".into()))?;
    Ok(Some((kind, WallTime(keys::split_number(&value)?))))
}

/// Returns the key of the row in `Forgettable` for a stored row.
pub(super) fn forget_key(key: &[u8], value: &[u8], kept_ms: i64) -> Option<Vec<u8>> {
    let time = keys::split_number(value.get(1..)?).ok()?;
    Some([&keys::number(time.saturating_add(kept_ms))[..], key].concat())
}

fn write(txn: &mut Txn<'_>, key: Vec<u8>, kind: u8, time: WallTime, kept_ms: i64) {
    let mut value = vec![kind];
    value.extend(keys::number(time.0));
    if let Some(forget) = forget_key(&key, &value, kept_ms) {
        txn.append(Table::Forgettable, forget, []);
    }
    txn.put(Table::Leases, key, value);
}

fn claim(
    txn: &mut Txn<'_>,
    keys: Vec<String>,
    now: WallTime,
    until: WallTime,
    kept_ms: i64,
) -> Result<Vec<Claim>, ReadError> {
    let mut claims = Vec::with_capacity(keys.len());
    for key in keys {
        let key = keys::name(&key);
        claims.push(match read(txn, &key)? {
            Some((DELIVERED, _)) => Claim::Delivered,
            Some((_, until)) if until > now => Claim::Leased(until),
            _ => {
                write(txn, key, LEASED, until, kept_ms);
                Claim::Yours
            }
        });
    }
    Ok(claims)
}

/// Deletes rows whose time has come. Returns whether there may be more.
pub(super) fn forget_step(txn: &mut Txn<'_>, now: WallTime, kept_ms: i64) -> Result<bool, ReadError> {
    let rows = txn.range(Table::Forgettable, &[], &[], STEP_ROWS)?;
    let mut forgotten = 0;
    for (forget, _) in &rows {
        let (at, key) =
            forget.split_first_chunk().ok_or_else(|| Broken("a time's key is too short".into()))?;
        if i64::from_be_bytes(*at) > now.0 {
            break;
        }
        forgotten += 1;
        // It may have been leased or confirmed again, and then has a row with a later time.
        if read(txn, key)?.is_some_and(|(_, time)| time.0.saturating_add(kept_ms) <= now.0) {
            txn.remove(Table::Leases, key);
        }
        txn.remove(Table::Forgettable, forget.clone());
    }
    Ok(forgotten == STEP_ROWS)
}

#[async_trait]
impl Leases for EmbeddedLeases {
    async fn claim(&self, keys: &[String], now: WallTime, until: WallTime) -> Result<Vec<Claim>, Error> {
        let (keys, kept_ms) = (keys.to_vec(), self.0.shared.options.confirmation_ms);
        Ok(self.0.writer().write(move |txn| claim(txn, keys, now, until, kept_ms)).await?)
    }

    async fn confirm(&self, keys: &[String], now: WallTime) -> Result<(), Error> {
        let (keys, kept_ms) = (keys.to_vec(), self.0.shared.options.confirmation_ms);
        let confirmed = self.0.writer().write(move |txn| {
            for key in keys {
                write(txn, keys::name(&key), DELIVERED, now, kept_ms);
            }
            Ok(())
        });
        Ok(confirmed.await?)
    }

    async fn release(&self, keys: &[String]) -> Result<(), Error> {
        let keys = keys.to_vec();
        let released = self.0.writer().write(move |txn| {
            for key in keys {
                let key = keys::name(&key);
                if read(txn, &key)?.is_some_and(|(kind, _)| kind == LEASED) {
                    txn.remove(Table::Leases, key);
                }
            }
            Ok(())
        });
        Ok(released.await?)
    }
}
