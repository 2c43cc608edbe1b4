//! Implements the watch ports: views for the notifier, and put, delete and list for users.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt};
use pricedrop_model::ports::{Deleted, Error, WatchStore, WatchView, WatchWriter, Written};
use pricedrop_model::{Price, ProductId, Removal, UserId, Watch, WriteTime};
use scylla::value::{CqlValue, Row};

use super::apply::{Applied, apply};
use super::error::misfit;
use super::limits::BATCHES;
use super::list::{Listing, list_product};
use super::part::text;
use super::rows::NO_WRITE_TIME;
use super::shared::Shared;
use super::tables::Table;
use super::view;
use super::write::{Change, batches, row_key};

/// The watches in Cassandra.
#[derive(Clone)]
pub struct CassandraWatches {
    shared: Arc<Shared>,
    listing: Arc<Listing>,
}

impl CassandraWatches {
    pub(super) fn new(shared: Arc<Shared>) -> CassandraWatches {
        CassandraWatches { shared, listing: Arc::default() }
    }

    /// Applies changes in batches, several batches at a time.
    async fn apply(&self, mut changes: Vec<Change>) -> Result<Option<Applied>, Error> {
        changes.sort_by(|a, b| a.product().cmp(b.product()));
        let shared = &self.shared;
        let applied = batches(changes).into_iter().map(|batch| async move { apply(shared, &batch).await });
        let all: Vec<Applied> =
            futures::stream::iter(applied).buffer_unordered(BATCHES).try_collect().await?;
        Ok(all.into_iter().reduce(|all, one| Applied {
            updated_at: all.updated_at.max(one.updated_at),
            effective_by: all.effective_by.max(one.effective_by),
        }))
    }

    /// Returns the latest write time of a row's columns. The outer `None` means that there is no
    /// such row, the inner one that no column of it has a write time.
    async fn version(
        &self,
        product: &ProductId,
        threshold: Price,
        user: &UserId,
    ) -> Result<Option<Option<WriteTime>>, Error> {
        let mut values = vec![text(product.as_str())];
        values.extend(row_key(threshold, user));
        let requests = &self.shared.requests;
        let rows = requests.read(&self.shared.statements.alerts.version, &values).await?;
        let row = rows.maybe_first_row::<Row>().map_err(misfit(requests.name(Table::Alerts)))?;
        let times = |row: Row| {
            let times = row.columns.into_iter().skip(1).flatten();
            let micros = times.filter_map(|time| match time {
                CqlValue::BigInt(micros) => Some(WriteTime(micros)),
                _ => None,
            });
            micros.max()
        };
        Ok(row.map(times))
    }

    /// Returns whether the row is still the version that was notified. Rows that pricedrop writes
    /// have one write time in all columns, so a deletion at that time leaves a later version
    /// whole. External writers may have changed a single column.
    async fn is_told_version(&self, removal: &Removal) -> Result<bool, Error> {
        if !self.shared.options.external_writers {
            return Ok(true);
        }
        let version = self.version(&removal.product, removal.threshold, &removal.user).await?;
        Ok(version == Some(Some(removal.write_time)))
    }

    fn removable(&self, removals: &[Removal]) -> Result<Vec<Removal>, Error> {
        let table = self.shared.requests.name(Table::Alerts);
        let columns = self.shared.statements.alerts.columns;
        if !removals.is_empty() && !columns.mode && !columns.updated_at {
            return Err(Error::Fatal(format!(
                "told `once` watches cannot be removed from the table {table}: it has no column mode, so its rows have no versions; `pricedrop schema check` says how to add it"
            ).into()));
        }
        let (known, unknown): (Vec<_>, Vec<_>) =
            removals.iter().cloned().partition(|removal| removal.write_time > NO_WRITE_TIME);
        if !unknown.is_empty() {
            let rows = unknown.len();
            self.shared.requests.metrics.not_removable.inc_by(rows as u64);
            tracing::warn!(
                table,
                rows,
                "notified watches are not removed: their rows have no mode, so no version can be removed"
            );
        }
        Ok(known)
    }
}

fn key(watch: &Watch) -> (ProductId, Price, UserId) {
    (watch.product_id.clone(), watch.price_watch_value, watch.user_id.clone())
}

#[async_trait]
impl WatchStore for CassandraWatches {
    async fn view(&self) -> Result<Box<dyn WatchView>, Error> {
        Ok(Box::new(view::open(&self.shared).await?))
    }
}

#[async_trait]
impl WatchWriter for CassandraWatches {
    async fn put(&self, watches: Vec<Watch>) -> Result<Written, Error> {
        // Of two writes of one watch the later one wins.
        let last: BTreeMap<_, _> = watches.into_iter().map(|watch| (key(&watch), watch)).collect();
        let applied = self.apply(last.into_values().map(Change::Put).collect()).await?;
        let updated_at = applied.map_or(self.shared.write_timestamps.now(), |applied| applied.updated_at);
        if applied.is_some() {
            self.shared.write_timestamps.settle(updated_at).await;
        }
        Ok(Written { updated_at, effective_by: applied.and_then(|applied| applied.effective_by) })
    }

    async fn delete(&self, product: &ProductId, threshold: Price, user: &UserId) -> Result<Deleted, Error> {
        let stamp = self.shared.write_timestamps.next();
        let version = self.version(product, threshold, user).await?;
        // A row without a version, or whose columns may have several, is deleted as of now. So is
        // a missing row, because an earlier attempt may have left it in the index.
        let seen = version.flatten().filter(|_| !self.shared.options.external_writers);
        let write_time =
            seen.unwrap_or_else(|| version.flatten().max(Some(stamp.write_time)).unwrap_or(stamp.write_time));
        let (product, user) = (product.clone(), user.clone());
        let change = Change::Delete { product, threshold, user, write_time };
        let effective_by = self.apply(vec![change]).await?.and_then(|applied| applied.effective_by);
        if seen.is_none() {
            self.shared.write_timestamps.settle(stamp.updated_at).await;
        }
        Ok(Deleted { existed: version.is_some(), effective_by })
    }

    async fn list(
        &self,
        product: Option<&ProductId>,
        after: Option<&Watch>,
        most: usize,
    ) -> Result<Vec<Watch>, Error> {
        match product {
            Some(product) => list_product(&self.shared, product, after, most).await,
            None => self.listing.page(&self.shared, after, most).await,
        }
    }

    async fn remove_told(&self, removals: &[Removal]) -> Result<(), Error> {
        let removals = self.removable(removals)?;
        let told = removals.into_iter().map(|removal| async move {
            Ok::<_, Error>(self.is_told_version(&removal).await?.then_some(removal))
        });
        let told: Vec<Option<Removal>> =
            futures::stream::iter(told).buffer_unordered(BATCHES).try_collect().await?;
        let delete = |Removal { product, threshold, user, write_time }| Change::Delete {
            product,
            threshold,
            user,
            write_time,
        };
        self.apply(told.into_iter().flatten().map(delete).collect()).await?;
        Ok(())
    }
}
