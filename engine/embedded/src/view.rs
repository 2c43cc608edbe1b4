//! Reads watches for the notifier: one snapshot of the store, with its wall time.

use std::sync::Arc;

use async_trait::async_trait;
use fjall::{Guard, Iter, Readable, Slice, Snapshot};
use pricedrop_model::ports::{Error, Scan, Summary, WatchView};
use pricedrop_model::{BucketId, Cause, Cursor, Price, ProductId, UserId, WallTime, WatchPage};

use super::error::Broken;
use super::index::{ActivePolicy, ReadPolicies};
use super::keys;
use super::rows::{self, ProductRow, WatchValue};
use super::shared::Shared;
use super::store::Store;
use super::store_handle::ReadError;
use super::tables::Table;

/// A snapshot, valid until the store is opened again.
pub(super) struct View {
    shared: Arc<Shared>,
    wall_time: WallTime,
    generation: u64,
    snapshot: Snapshot,
    /// Read once, because the snapshot does not change.
    active: Option<Option<ActivePolicy>>,
}

/// Opens a view.
pub(super) fn open(shared: &Arc<Shared>) -> Result<View, Error> {
    let (wall_time, opened) = shared
        .watch_clock
        .view(|| shared.store.read_generation(|store, generation| Ok((store.snapshot(), generation))));
    let (snapshot, generation) = opened?;
    Ok(View { shared: shared.clone(), wall_time, generation, snapshot, active: None })
}

/// One read of the store through the snapshot.
struct Reading<'a> {
    store: &'a Store,
    snapshot: &'a Snapshot,
}

impl Reading<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Slice>, ReadError> {
        Ok(self.snapshot.get(self.store.table(table), key)?)
    }

    /// Returns the rows from `from` on, up to the last that starts with `prefix`.
    fn range(&self, table: Table, from: Vec<u8>, prefix: &[u8]) -> Iter {
        let table = self.store.table(table);
        match keys::behind(prefix) {
            Some(end) => self.snapshot.range(table, from..end),
            None => self.snapshot.range(table, from..),
        }
    }

    fn product(&self, product: &ProductId) -> Result<Option<ProductRow>, ReadError> {
        let stored = self.get(Table::Products, &keys::product(product))?;
        Ok(stored.map(|bytes| rows::decode(&bytes)).transpose()?)
    }
}

impl ReadPolicies for Reading<'_> {
    fn policy_row(&self, key: &[u8]) -> Result<Option<Slice>, ReadError> {
        self.get(Table::Policies, key)
    }
}

impl View {
    fn read<T>(&self, read: impl FnOnce(Reading<'_>) -> Result<T, ReadError>) -> Result<T, Error> {
        let answer = self.shared.store.read_generation(|store, generation| match generation {
            same if same == self.generation => read(Reading { store, snapshot: &self.snapshot }).map(Some),
            _ => Ok(None),
        })?;
        answer.ok_or_else(|| Error::Unavailable("the store was opened anew; open a new view".into()))
    }

    fn summary_now(&mut self, product: &ProductId) -> Result<Summary, Error> {
        let active = self.active.take();
        let (row, active) = self.read(|reading| {
            let active = match active {
                Some(active) => active,
                None => reading.active_policy()?,
            };
            Ok((reading.product(product)?.unwrap_or_default(), active))
        })?;
        let indexed = active.as_ref().is_some_and(|active| row.index_of(active.mapping).is_some());
        self.active = Some(active);
        let [modeless, every_drop, crossing, once] = row.counts;
        Ok(Summary {
            watches: row.watches(),
            every_drop: every_drop > 0,
            crossing: crossing + once > 0,
            modeless: modeless > 0,
            last_changed: (row.watches() > 0).then_some(WallTime(row.last_changed)),
            indexed,
        })
    }
}

#[async_trait]
impl WatchView for View {
    fn wall_time(&self) -> WallTime {
        self.wall_time
    }

    async fn summary(&mut self, product: &ProductId) -> Result<Summary, Error> {
        self.summary_now(product)
    }

    async fn scan(&mut self, scan: &Scan<'_>, page: &mut WatchPage) -> Result<Option<Cursor>, Error> {
        page.clear();
        self.read(|reading| {
            let index = match scan.buckets {
                Some((policy, from)) => {
                    find_index(&reading, scan.product, policy)?.map(|index| (index, from))
                }
                None => None,
            };
            match index {
                Some((index, from)) => by_bucket(&reading, scan, index, from, page),
                None => plain(&reading, scan, page),
            }
        })
    }
}

/// Returns the index that a scan names, if it exists. Without it nothing is lost: buckets never
/// decrease with the price, so the plain range has the same rows in the same order, and the
/// cursor keeps its meaning.
fn find_index(reading: &Reading<'_>, product: &ProductId, policy: &str) -> Result<Option<u64>, ReadError> {
    let Some(mapping) = reading.mapping_named(policy)? else { return Ok(None) };
    Ok(reading.product(product)?.and_then(|row| row.index_of(mapping)))
}

/// Fills a page with rows in order of threshold, until it is full or the floor is reached.
struct Fill<'a, 'b> {
    scan: &'a Scan<'b>,
    page: &'a mut WatchPage,
    /// The last threshold and its key, because adjacent rows often share it.
    last: Option<([u8; 12], Price)>,
}

/// Why reading a range of rows ended.
enum Run {
    /// All rows were read.
    End,
    /// The other rows are beyond the floor.
    Beyond,
    /// The page is full.
    Full(Box<Cursor>),
}

impl Fill<'_, '_> {
    fn run(
        &mut self,
        rows: impl Iterator<Item = Guard>,
        prefix: usize,
        bucket: Option<BucketId>,
    ) -> Result<Run, ReadError> {
        for guard in rows {
            let (key, value) = guard.into_inner()?;
            let (price_key, user) = keys::split_tail(&key[prefix..])?;
            let value = WatchValue::decode(&value)?;
            let threshold = match self.last {
                Some((last, threshold)) if last == *price_key => threshold,
                _ => {
                    let threshold = value.threshold(*price_key)?;
                    if self.scan.below.spends(threshold, self.scan.hysteresis) {
                        return Ok(Run::Beyond);
                    }
                    self.last = Some((*price_key, threshold));
                    threshold
                }
            };
            self.page.push(value.row(threshold, user));
            if self.page.len() >= self.scan.page_rows.max(1) {
                let user = UserId::new(user).map_err(|error| Broken(Cause::of(error)))?;
                return Ok(Run::Full(Box::new(Cursor { bucket, threshold, user })));
            }
        }
        Ok(Run::End)
    }
}

fn plain(reading: &Reading<'_>, scan: &Scan<'_>, page: &mut WatchPage) -> Result<Option<Cursor>, ReadError> {
    let prefix = keys::product(scan.product);
    let first = keys::watch(scan.product, scan.from, "");
    let from = match &scan.after {
        Some(after) => keys::next(keys::watch(scan.product, after.threshold, after.user.as_str())).max(first),
        None => first,
    };
    let rows = reading.range(Table::Watches, from, &prefix);
    let bucket = scan.after.as_ref().and_then(|after| after.bucket);
    match (Fill { scan, page, last: None }).run(rows, prefix.len(), bucket)? {
        Run::Full(cursor) => Ok(Some(*cursor)),
        Run::End | Run::Beyond => Ok(None),
    }
}

/// Reads bucket by bucket, the same range of thresholds in each.
fn by_bucket(
    reading: &Reading<'_>,
    scan: &Scan<'_>,
    index: u64,
    from: BucketId,
    page: &mut WatchPage,
) -> Result<Option<Cursor>, ReadError> {
    let mut bucket = scan.after.as_ref().and_then(|after| after.bucket).unwrap_or(from).max(from);
    let mut after = scan.after.as_ref();
    let mut fill = Fill { scan, page, last: None };
    loop {
        let first = keys::indexed(index, bucket, scan.from, "");
        let start = match after.take() {
            Some(after) => {
                keys::next(keys::indexed(index, bucket, after.threshold, after.user.as_str())).max(first)
            }
            None => first,
        };
        let rows = reading.range(Table::Index, start, &keys::bucket_of(index, bucket));
        if let Run::Full(cursor) = fill.run(rows, keys::BUCKET_PREFIX, Some(bucket))? {
            return Ok(Some(*cursor));
        }
        match next_bucket(reading, index, bucket)? {
            Some(next) => bucket = next,
            None => return Ok(None),
        }
    }
}

/// Returns the first bucket after this one that has a row.
fn next_bucket(reading: &Reading<'_>, index: u64, bucket: BucketId) -> Result<Option<BucketId>, ReadError> {
    let behind = keys::behind(&keys::bucket_of(index, bucket)).expect("an index's number is not all ones");
    let first = reading.range(Table::Index, behind, &index.to_be_bytes()).next();
    Ok(first.map(|guard| guard.key()).transpose()?.map(|key| keys::bucket_in(&key)).transpose()?)
}
