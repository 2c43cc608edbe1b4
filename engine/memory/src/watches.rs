//! Watches in sorted maps, with a bucket index for products with many watches.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use pricedrop_model::plugin::Bucketing;
use pricedrop_model::ports::{Error, Scan, Summary, WatchStore, WatchView};
use pricedrop_model::sync::lock;
use pricedrop_model::{
    BucketId, Clock, Cursor, Mode, Price, ProductId, Removal, UserId, ViewTime, WallTime, Watch, WatchPage,
    WatchRow, WriteTime,
};

type RowKey = (Price, UserId);
type Buckets = BTreeMap<BucketId, BTreeSet<RowKey>>;

/// Watches in memory. [`insert`](MemoryWatches::insert) keeps the `updated_at` of its caller, as
/// `simulate` needs it; writes through the port get the store's time.
pub struct MemoryWatches {
    inner: Arc<Mutex<Inner>>,
    pub(crate) clock: Arc<dyn Clock>,
}

pub(crate) struct Inner {
    pub(crate) products: BTreeMap<ProductId, Product>,
    bucketing: Option<Arc<dyn Bucketing>>,
    bucket_threshold: usize,
    writes: i64,
    /// The latest `updated_at` of a write through the port.
    last_write: WallTime,
    /// The latest wall time of a view.
    last_view: WallTime,
}

/// The watches of one product, how many there are of each mode, and its index, if it has one.
#[derive(Default)]
pub(crate) struct Product {
    rows: BTreeMap<RowKey, Row>,
    every_drop: u64,
    crossing: u64,
    modeless: u64,
    /// After each `updated_at` of a row, because a write may follow a view at the same wall time.
    last_changed: Option<WallTime>,
    index: Option<Buckets>,
}

struct Row {
    watch: Watch,
    write_time: WriteTime,
}

impl MemoryWatches {
    /// An empty store. Products with more watches than `bucket_threshold` are read by bucket, if there
    /// is a policy.
    pub fn new(
        clock: Arc<dyn Clock>,
        bucketing: Option<Arc<dyn Bucketing>>,
        bucket_threshold: usize,
    ) -> Self {
        let inner = Inner {
            products: BTreeMap::new(),
            bucketing,
            bucket_threshold,
            writes: 0,
            last_write: WallTime(i64::MIN),
            last_view: WallTime(i64::MIN),
        };
        MemoryWatches { inner: Arc::new(Mutex::new(inner)), clock }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    /// Writes a watch with its own `updated_at`. Returns whether it replaced one.
    pub fn insert(&self, watch: Watch) -> bool {
        self.lock().insert(watch)
    }

    /// Deletes the rows that still have the write time of the removal; newer versions stay.
    pub fn remove_versions(&self, removals: &[Removal]) {
        let mut inner = self.lock();
        for removal in removals {
            let Some(product) = inner.products.get_mut(&removal.product) else { continue };
            let key = (removal.threshold, removal.user.clone());
            if product.rows.get(&key).is_some_and(|row| row.write_time == removal.write_time) {
                product.remove(&key);
            }
        }
    }

    /// Deletes a watch. Returns whether there was one.
    pub fn remove(&self, product: &ProductId, threshold: Price, user: &UserId) -> bool {
        let mut inner = self.lock();
        inner.products.get_mut(product).is_some_and(|product| product.remove(&(threshold, user.clone())))
    }

    /// Returns each indexed product with its number of buckets and the number of watches in its
    /// largest bucket.
    pub fn buckets(&self) -> Vec<(ProductId, usize, usize)> {
        let inner = self.lock();
        let indexed = inner.products.iter().filter_map(|(id, product)| Some((id, product.index.as_ref()?)));
        let largest = |index: &Buckets| index.values().map(BTreeSet::len).max().unwrap_or(0);
        indexed.map(|(id, index)| (id.clone(), index.len(), largest(index))).collect()
    }
}

impl Inner {
    /// Writes a watch as it is. Returns whether it replaced one.
    pub(crate) fn insert(&mut self, watch: Watch) -> bool {
        self.writes += 1;
        let write_time = WriteTime(self.writes);
        let key = (watch.price_watch_value, watch.user_id.clone());
        let bucket = self.bucket_of(&watch.product_id, watch.price_watch_value);
        let product = self.products.entry(watch.product_id.clone()).or_default();
        let replaced = product.remove(&key);
        product.add(key, Row { watch, write_time }, bucket);
        replaced
    }

    /// Returns the `updated_at` of a write: after the wall time of every view opened so far.
    pub(crate) fn write_time(&mut self, now: WallTime) -> WallTime {
        self.last_write = now.max(self.last_write).max(WallTime(self.last_view.0.saturating_add(1)));
        self.last_write
    }

    /// Returns the time of a new view: not before any write through the port.
    fn view_time(&mut self, now: WallTime) -> ViewTime {
        let wall_time = now.max(self.last_write);
        self.last_view = self.last_view.max(wall_time);
        ViewTime::after(wall_time, WriteTime(self.writes))
    }

    /// Returns the bucket of a price; `None` if the product has no index or the policy fails.
    fn bucket_of(&self, product: &ProductId, price: Price) -> Option<BucketId> {
        self.products.get(product)?.index.as_ref()?;
        self.bucketing.as_ref()?.buckets_of(product, &[price]).ok()?.first().copied()
    }

    /// Builds the index of a product with more watches than `bucket_threshold`. If the policy fails,
    /// the product is read by the plain range.
    fn index(&mut self, id: &ProductId) {
        let (Some(bucketing), Some(product)) = (self.bucketing.clone(), self.products.get_mut(id)) else {
            return;
        };
        if product.index.is_some() || product.rows.len() <= self.bucket_threshold {
            return;
        }
        let prices: Vec<Price> = product.rows.keys().map(|(price, _)| *price).collect();
        let Ok(buckets) = bucketing.buckets_of(id, &prices) else { return };
        let mut index = Buckets::new();
        for (bucket, key) in buckets.into_iter().zip(product.rows.keys()) {
            index.entry(bucket).or_default().insert(key.clone());
        }
        product.index = Some(index);
    }
}

impl Product {
    /// The watches of this product after `last`; all, if `last` is of another product.
    pub(crate) fn past<'a>(
        &'a self,
        id: &ProductId,
        last: Option<&Watch>,
    ) -> impl Iterator<Item = &'a Watch> {
        let last = last.filter(|last| last.product_id == *id);
        let first = last.map(|last| (last.price_watch_value, last.user_id.clone()));
        let rows = self.rows.range((first.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded));
        rows.map(|(_, row)| &row.watch)
    }

    /// Adds a row. Without its bucket the index would be incomplete, so it is dropped.
    fn add(&mut self, key: RowKey, row: Row, bucket: Option<BucketId>) {
        *self.count(row.watch.mode) += 1;
        let after = row.watch.updated_at.map(|at| WallTime(at.0.saturating_add(1)));
        self.last_changed = self.last_changed.max(after);
        match (&mut self.index, bucket) {
            (Some(index), Some(bucket)) => {
                index.entry(bucket).or_default().insert(key.clone());
            }
            (index, _) => *index = None,
        }
        self.rows.insert(key, row);
    }

    fn remove(&mut self, key: &RowKey) -> bool {
        let Some(row) = self.rows.remove(key) else { return false };
        *self.count(row.watch.mode) -= 1;
        if let Some(index) = &mut self.index {
            index.retain(|_, rows| {
                rows.remove(key);
                !rows.is_empty()
            });
        }
        true
    }

    fn count(&mut self, mode: Option<Mode>) -> &mut u64 {
        match mode {
            Some(Mode::EveryDrop) => &mut self.every_drop,
            Some(Mode::Crossing | Mode::Once) => &mut self.crossing,
            None => &mut self.modeless,
        }
    }

    fn row<'a>(&'a self, key: &'a RowKey) -> Option<WatchRow<'a>> {
        let row = self.rows.get(key)?;
        Some(WatchRow {
            threshold: key.0,
            user: key.1.as_str(),
            mode: row.watch.mode,
            currency: row.watch.currency,
            updated_at: row.watch.updated_at,
            write_time: row.write_time,
        })
    }
}

#[async_trait]
impl WatchStore for MemoryWatches {
    async fn view(&self) -> Result<Box<dyn WatchView>, Error> {
        let time = self.lock().view_time(self.clock.now());
        Ok(Box::new(View { inner: self.inner.clone(), time }))
    }
}

struct View {
    inner: Arc<Mutex<Inner>>,
    time: ViewTime,
}

#[async_trait]
impl WatchView for View {
    fn wall_time(&self) -> WallTime {
        self.time.wall_time
    }

    fn time(&self) -> ViewTime {
        self.time
    }

    async fn summary(&mut self, id: &ProductId) -> Result<Summary, Error> {
        let mut inner = lock(&self.inner);
        inner.index(id);
        let none = Product::default();
        let product = inner.products.get(id).unwrap_or(&none);
        Ok(Summary {
            watches: product.rows.len() as u64,
            every_drop: product.every_drop > 0,
            crossing: product.crossing > 0,
            modeless: product.modeless > 0,
            last_changed: Some(product.last_changed.unwrap_or(WallTime(i64::MIN))),
            indexed: product.index.is_some(),
        })
    }

    async fn scan(&mut self, scan: &Scan<'_>, page: &mut WatchPage) -> Result<Option<Cursor>, Error> {
        page.clear();
        let inner = lock(&self.inner);
        let Some(product) = inner.products.get(scan.product) else { return Ok(None) };
        // Without an index the plain range has the same rows in the same order.
        let Some((_, first)) = scan.buckets.filter(|_| product.index.is_some()) else {
            let keys = product.rows.range(range(scan, None)).map(|(key, _)| key);
            return Ok(fill(product, keys, None, scan, page));
        };
        let first = scan.after.as_ref().and_then(|after| after.bucket).unwrap_or(first);
        for (bucket, rows) in product.index.iter().flat_map(|index| index.range(first..)) {
            let full = fill(product, rows.range(range(scan, Some(*bucket))), Some(*bucket), scan, page);
            if full.is_some() {
                return Ok(full);
            }
        }
        Ok(None)
    }
}

/// The range of keys of a scan: after its cursor if that is in this bucket, else from its price.
fn range(scan: &Scan<'_>, bucket: Option<BucketId>) -> (Bound<RowKey>, Bound<RowKey>) {
    let first = match &scan.after {
        Some(after) if bucket.is_none() || after.bucket == bucket => {
            Bound::Excluded((after.threshold, after.user.clone()))
        }
        _ => {
            let lowest_name = UserId::new("\0").expect("one byte is a name");
            Bound::Included((scan.from, lowest_name))
        }
    };
    (first, Bound::Unbounded)
}

/// Adds rows up to the floor to the page. Returns the cursor of the last one if the page is full.
fn fill<'a>(
    product: &'a Product,
    keys: impl Iterator<Item = &'a RowKey>,
    bucket: Option<BucketId>,
    scan: &Scan<'_>,
    page: &mut WatchPage,
) -> Option<Cursor> {
    for key in keys.take_while(|key| !scan.below.spends(key.0, scan.hysteresis)) {
        page.push(product.row(key)?);
        if page.len() >= scan.page_rows {
            return Some(Cursor { bucket, threshold: key.0, user: key.1.clone() });
        }
    }
    None
}
