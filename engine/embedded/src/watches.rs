//! Writes and lists watches. Counts per product and the indexes of large products are updated in
//! the same batch as the rows.

use std::sync::Arc;

use async_trait::async_trait;
use fjall::Slice;
use pricedrop_model::ports::{Deleted, Error, WatchStore, WatchView, WatchWriter, Written};
use pricedrop_model::{Price, ProductId, Removal, UserId, WallTime, Watch};

use super::index::{self, BucketPolicies, Changed, ReadPolicies as _};
use super::rows::{self, ProductRow, WatchValue, encode_watch};
use super::shared::{Inner, Shared};
use super::store::Store;
use super::store_handle::ReadError;
use super::tables::Table;
use super::txn::Txn;
use super::{keys, view};

/// The watches of the store.
#[derive(Clone)]
pub struct EmbeddedWatches(Arc<Inner>);

impl EmbeddedWatches {
    pub(super) fn new(inner: Arc<Inner>) -> EmbeddedWatches {
        EmbeddedWatches(inner)
    }
}

/// A change of one watch.
enum Change<'a> {
    Put(&'a Watch),
    /// Deletes the row, whatever its version.
    Delete(Price, &'a UserId),
    /// Deletes the row if it still is the version that was notified.
    Told(&'a Removal),
}

impl Change<'_> {
    fn threshold(&self) -> Price {
        match self {
            Change::Put(watch) => watch.price_watch_value,
            Change::Delete(threshold, _) => *threshold,
            Change::Told(removal) => removal.threshold,
        }
    }

    fn user(&self) -> &UserId {
        match self {
            Change::Put(watch) => &watch.user_id,
            Change::Delete(_, user) => user,
            Change::Told(removal) => &removal.user,
        }
    }
}

/// Writes all watches. Returns their `updated_at`.
fn put(txn: &mut Txn<'_>, shared: &Shared, mut watches: Vec<Watch>) -> Result<WallTime, ReadError> {
    let stamp = txn.stamp();
    // A stable sort: of two writes of one watch the later one wins.
    watches.sort_by(|a, b| a.product_id.cmp(&b.product_id));
    for run in watches.chunk_by(|a, b| a.product_id == b.product_id) {
        change(txn, shared, &run[0].product_id, run.iter().map(Change::Put))?;
    }
    Ok(stamp.updated_at)
}

/// Deletes the notified rows that were not written again since.
pub(super) fn remove_told(txn: &mut Txn<'_>, shared: &Shared, removals: &[Removal]) -> Result<(), ReadError> {
    for run in removals.chunk_by(|a, b| a.product == b.product) {
        change(txn, shared, &run[0].product, run.iter().map(Change::Told))?;
    }
    Ok(())
}

/// Changes watches of one product. Returns how many rows were written or deleted.
fn change<'a>(
    txn: &mut Txn<'_>,
    shared: &Shared,
    product: &ProductId,
    changes: impl Iterator<Item = Change<'a>>,
) -> Result<usize, ReadError> {
    let product_key = keys::product(product);
    let stored = txn.get(Table::Products, &product_key)?;
    let mut row: ProductRow = stored.map(|bytes| rows::decode(&bytes)).transpose()?.unwrap_or_default();
    let mut changed = Vec::new();
    let mut count = 0;
    for change in changes {
        let key = keys::watch(product, change.threshold(), change.user().as_str());
        let Some(value) = change_row(txn, &mut row, &key, &change)? else { continue };
        count += 1;
        if !row.indexes.is_empty() {
            let (threshold, user) = (change.threshold(), change.user().to_string());
            changed.push(Changed { threshold, user, value: value.clone() });
        }
        match value {
            Some(value) => txn.put(Table::Watches, key, value),
            None => txn.remove(Table::Watches, key),
        }
    }
    if count > 0 {
        finish(txn, shared, product, product_key, row, &changed)?;
    }
    Ok(count)
}

/// Counts one change. Returns `None` if there is nothing to do, else the row's new value, or
/// `Some(None)` if it is deleted.
fn change_row(
    txn: &mut Txn<'_>,
    row: &mut ProductRow,
    key: &[u8],
    change: &Change<'_>,
) -> Result<Option<Option<Slice>>, ReadError> {
    let old = txn.get(Table::Watches, key)?.map(|value| WatchValue::decode(&value)).transpose()?;
    let stands = match (change, &old) {
        (Change::Put(_), _) => true,
        (Change::Delete(..), old) => old.is_some(),
        (Change::Told(removal), old) => old.is_some_and(|old| old.write_time == removal.write_time),
    };
    if !stands {
        return Ok(None);
    }
    if let Some(old) = old {
        let count = row.count(old.mode);
        *count = count.saturating_sub(1);
    }
    let Change::Put(watch) = change else { return Ok(Some(None)) };
    let stamp = txn.stamp();
    *row.count(watch.mode) += 1;
    row.last_changed = stamp.updated_at.0;
    Ok(Some(Some(encode_watch(watch, stamp).into())))
}

/// Applies the changes to the product's indexes, and writes its row.
fn finish(
    txn: &mut Txn<'_>,
    shared: &Shared,
    product: &ProductId,
    key: Vec<u8>,
    mut row: ProductRow,
    changed: &[Changed],
) -> Result<(), ReadError> {
    if !row.indexes.is_empty() {
        let policies_of_rows = BucketPolicies::now(txn, shared)?;
        index::update_indexes(txn, &policies_of_rows, product, &mut row, changed);
    }
    if row.watches() > shared.options.bucket_threshold {
        let active = txn.active_policy()?;
        if active.is_some_and(|active| row.index_of(active.mapping).is_none()) {
            shared.work.want_index(product);
        }
    }
    if row.watches() > 0 {
        txn.put(Table::Products, key, rows::encode(&row));
        return Ok(());
    }
    for slot in row.indexes {
        index::drop_index(txn, slot);
    }
    txn.remove(Table::Products, key);
    Ok(())
}

fn list(
    store: &Store,
    product: Option<&ProductId>,
    after: Option<&Watch>,
    most: usize,
) -> Result<Vec<Watch>, ReadError> {
    let prefix = product.map(keys::product).unwrap_or_default();
    let after = after.map(|watch| {
        keys::next(keys::watch(&watch.product_id, watch.price_watch_value, watch.user_id.as_str()))
    });
    let from = after.unwrap_or_default().max(prefix.clone());
    let snapshot = store.snapshot();
    let table = store.table(Table::Watches);
    let rows = match keys::behind(&prefix) {
        Some(end) if from >= end => return Ok(Vec::new()),
        Some(end) => fjall::Readable::range(&snapshot, table, from..end),
        None => fjall::Readable::range(&snapshot, table, from..),
    };
    rows.take(most)
        .map(|guard| {
            let (key, value) = guard.into_inner()?;
            Ok(WatchValue::decode(&value)?.watch(&key)?)
        })
        .collect()
}

#[async_trait]
impl WatchStore for EmbeddedWatches {
    async fn view(&self) -> Result<Box<dyn WatchView>, Error> {
        Ok(Box::new(view::open(&self.0.shared)?))
    }
}

#[async_trait]
impl WatchWriter for EmbeddedWatches {
    async fn put(&self, watches: Vec<Watch>) -> Result<Written, Error> {
        let shared = self.0.shared.clone();
        let updated_at = self.0.writer().write(move |txn| put(txn, &shared, watches)).await?;
        Ok(Written { updated_at, effective_by: None })
    }

    async fn delete(&self, product: &ProductId, threshold: Price, user: &UserId) -> Result<Deleted, Error> {
        let (shared, product, user) = (self.0.shared.clone(), product.clone(), user.clone());
        let deleted = self.0.writer().write(move |txn| {
            change(txn, &shared, &product, std::iter::once(Change::Delete(threshold, &user)))
        });
        Ok(Deleted { existed: deleted.await? > 0, effective_by: None })
    }

    async fn list(
        &self,
        product: Option<&ProductId>,
        after: Option<&Watch>,
        most: usize,
    ) -> Result<Vec<Watch>, Error> {
        self.0.shared.store.read(|store| list(store, product, after, most))
    }

    async fn remove_told(&self, removals: &[Removal]) -> Result<(), Error> {
        let (shared, mut removals) = (self.0.shared.clone(), removals.to_vec());
        removals.sort_by(|a, b| a.product.cmp(&b.product));
        Ok(self.0.writer().write(move |txn| remove_told(txn, &shared, &removals)).await?)
    }
}
