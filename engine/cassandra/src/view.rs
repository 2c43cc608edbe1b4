//! Reads watches for the notifier. Opening a view takes its wall time, which is `WRITE_MARGIN_MS`
//! earlier than the clock, and then reads the policy row. A view is not a snapshot: it returns the
//! rows that are stored when they are read, and these can be newer than its wall time.
//!
//! ```text
//! small product   its cache entry, else one range of its partition
//! large product   index verified: its live buckets, each a cache entry or a range
//!                 otherwise: one range of its partition
//! ```

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt};
use pricedrop_model::cache::{CacheKey, Cached};
use pricedrop_model::ports::{Error, Scan, Summary, WatchView};
use pricedrop_model::{Cursor, ProductId, WallTime, WatchPage};

use super::cached_rows::{self, CachedRows, Live};
use super::index_build::Policies;
use super::limits::{POLICY_FRESH_MS, VIEW_BYTES};
use super::page_stream::Query;
use super::part::Partition;
use super::rows::Bounds;
use super::scan::{Buckets, Open, Rows, Wanted, bounds};
use super::shared::Shared;
use super::snapshot_codec::Header;

pub(super) struct View {
    shared: Arc<Shared>,
    wall_time: WallTime,
    policies: Policies,
    /// When the policy row was read.
    asked: Instant,
    /// Where the rows of products come from; their cached rows up to `VIEW_BYTES`.
    cached_rows: HashMap<ProductId, CachedRows>,
    cached_bytes: usize,
    /// Live lists of large products, as this view first read them.
    live: HashMap<ProductId, Arc<Live>>,
    /// First pages that were read ahead, by product.
    ahead: HashMap<ProductId, Ahead>,
    open: Option<Open>,
}

/// A range whose first page was read ahead.
struct Ahead {
    wanted: Wanted,
    query: Box<Query>,
    page: WatchPage,
    more: bool,
}

/// Opens a view.
pub(super) async fn open(shared: &Arc<Shared>) -> Result<View, Error> {
    let wall_time = shared.write_timestamps.view();
    let policies = shared.policies().await?;
    Ok(View {
        shared: shared.clone(),
        wall_time,
        policies,
        asked: Instant::now(),
        cached_rows: HashMap::new(),
        cached_bytes: 0,
        live: HashMap::new(),
        ahead: HashMap::new(),
        open: None,
    })
}

/// Returns the summary of a product that was not read: every mode may occur.
fn unknown() -> Summary {
    Summary {
        watches: 0,
        every_drop: true,
        crossing: true,
        modeless: true,
        last_changed: None,
        indexed: false,
    }
}

fn summary(header: &Header, indexed: bool) -> Summary {
    Summary {
        watches: header.rows,
        every_drop: header.every_drop,
        crossing: header.crossing,
        modeless: header.modeless,
        last_changed: header.last_changed,
        indexed,
    }
}

impl View {
    /// Returns the live list of a large product in the active index, if that index is complete.
    async fn verified(&mut self, product: &ProductId) -> Result<Option<Arc<Live>>, Error> {
        let Some(active) =
            self.policies.active.as_ref().filter(|_| self.shared.large_products.is_large(product))
        else {
            return Ok(None);
        };
        let live = match self.live.get(product) {
            Some(live) => live.clone(),
            None => Arc::new(Live::get(&self.shared, product, &active.index).await?),
        };
        self.live.insert(product.clone(), live.clone());
        if !live.verified {
            self.shared.want_repair(product);
        }
        Ok(Some(live).filter(|live| live.verified))
    }

    /// Returns where the product's rows come from. Asks the cache unless the view knows.
    async fn cached_rows(&mut self, product: &ProductId) -> Result<CachedRows, Error> {
        if let Some(cached_rows) = self.cached_rows.get(product) {
            return Ok(cached_rows.clone());
        }
        let cached = self.shared.ask_cache(&[CacheKey::Product(product.clone())]).await.pop();
        let partition = Partition::Product(product.clone());
        let cached_rows =
            cached_rows::cached_rows(&self.shared, &partition, cached.unwrap_or(Cached::Pass)).await?;
        self.keep(product, cached_rows.clone());
        Ok(cached_rows)
    }

    fn keep(&mut self, product: &ProductId, cached_rows: CachedRows) {
        match &cached_rows {
            CachedRows::Snapshot(snapshot) => {
                self.shared.note_large(product, snapshot.header().rows);
                self.cached_bytes += snapshot.bytes();
            }
            CachedRows::TooLarge => self.shared.note_large(product, u64::MAX),
            CachedRows::Uncached => {}
        }
        if self.cached_bytes > VIEW_BYTES {
            self.cached_bytes = 0;
            self.cached_rows.clear();
        }
        self.cached_rows.insert(product.clone(), cached_rows);
    }

    /// Starts a scan at its cursor.
    async fn start(&mut self, scan: &Scan<'_>) -> Result<Open, Error> {
        if let Some((policy, _)) = scan.buckets
            && let Some(index) = self.policies.active_named(policy).map(|build| build.index.clone())
        {
            // A scan by bucket shows that the product is large, also if this process did not
            // know.
            self.shared.large_products.add(scan.product);
            if let Some(live) = self.verified(scan.product).await? {
                let buckets = Buckets::new(&self.shared, scan, &index, &live.buckets);
                return Ok(Open::new(scan, Rows::Buckets(buckets)));
            }
        }
        if let Some(ahead) = self.ahead.remove(scan.product)
            && scan.after.is_none()
            && ahead.wanted == Wanted::of(&Scan { buckets: None, ..scan.clone() })
        {
            let rows = if ahead.more { Rows::Query(ahead.query) } else { Rows::End };
            return Ok(Open::with(Wanted::of(scan), rows, ahead.page, None));
        }
        if !self.shared.large_products.is_large(scan.product)
            && let CachedRows::Snapshot(snapshot) = self.cached_rows(scan.product).await?
        {
            return Ok(Open::new(scan, Rows::Snapshot(snapshot, bounds(scan))));
        }
        self.start_uncached(scan)
    }

    /// Starts a scan of the product's own partition.
    fn start_uncached(&self, scan: &Scan<'_>) -> Result<Open, Error> {
        let partition = Partition::Product(scan.product.clone());
        let query = Query::new(&self.shared, partition, bounds(scan), scan.after.as_ref())?;
        Ok(Open::new(scan, Rows::Query(Box::new(query))))
    }

    /// Returns whether the index that rows were just read from still existed. An index is kept
    /// for `drop_after_ms` after its replacement, which must be longer than `POLICY_FRESH_MS`.
    async fn index_still_serves(&mut self, policy: &str) -> Result<bool, Error> {
        if self.asked.elapsed() < Duration::from_millis(POLICY_FRESH_MS) {
            return Ok(true);
        }
        let index = |policies: &Policies| policies.active_named(policy).map(|build| build.index.clone());
        let asked = Instant::now();
        let policies = self.shared.policies().await?;
        let same = index(&policies) == index(&self.policies);
        if !same {
            self.live.clear();
        }
        (self.policies, self.asked) = (policies, asked);
        Ok(same)
    }
}

/// Reads ahead what the scan of one product needs first.
async fn read_ahead(
    shared: Arc<Shared>,
    product: ProductId,
    bounds: Bounds,
    wanted: Wanted,
    cached: Cached,
) -> Result<(ProductId, Found), Error> {
    let partition = Partition::Product(product.clone());
    let cached_rows = cached_rows::cached_rows(&shared, &partition, cached).await?;
    let CachedRows::Uncached = cached_rows else { return Ok((product, Found::Cached(cached_rows))) };
    let mut query = Box::new(Query::new(&shared, partition, bounds, None)?);
    let mut page = WatchPage::default();
    let more = query.next(&mut page).await?;
    Ok((product, Found::Page(Ahead { wanted, query, page, more })))
}

enum Found {
    Cached(CachedRows),
    Page(Ahead),
}

#[async_trait]
impl WatchView for View {
    fn wall_time(&self) -> WallTime {
        self.wall_time
    }

    async fn summary(&mut self, product: &ProductId) -> Result<Summary, Error> {
        if let Some(live) = self.verified(product).await? {
            return Ok(summary(&live.header(), true));
        }
        let large = self.shared.large_products.is_large(product);
        if large || self.ahead.contains_key(product) {
            return Ok(unknown());
        }
        match self.cached_rows(product).await? {
            CachedRows::Snapshot(snapshot) => Ok(summary(snapshot.header(), false)),
            CachedRows::TooLarge => match self.verified(product).await? {
                Some(live) => Ok(summary(&live.header(), true)),
                None => Ok(unknown()),
            },
            CachedRows::Uncached => Ok(unknown()),
        }
    }

    async fn prefetch(&mut self, scans: &[Scan<'_>]) -> Result<(), Error> {
        let (shared, mut wanted) = (self.shared.clone(), Vec::new());
        for scan in scans {
            let known = self.cached_rows.contains_key(scan.product) || self.ahead.contains_key(scan.product);
            if !known && !shared.large_products.is_large(scan.product) {
                wanted.push(scan);
            }
        }
        wanted.sort_by_key(|scan| scan.product);
        wanted.dedup_by_key(|scan| scan.product);
        let names: Vec<CacheKey> =
            wanted.iter().map(|scan| CacheKey::Product(scan.product.clone())).collect();
        let cached = shared.ask_cache(&names).await;
        let mut reads = Vec::with_capacity(wanted.len());
        for (scan, cached) in wanted.into_iter().zip(cached) {
            let plain = Wanted::of(&Scan { buckets: None, ..scan.clone() });
            reads.push(read_ahead(shared.clone(), scan.product.clone(), bounds(scan), plain, cached));
        }
        let mut reads = futures::stream::iter(reads).buffer_unordered(shared.options.in_flight.max(1));
        while let Some((product, found)) = reads.try_next().await? {
            match found {
                Found::Cached(cached_rows) => self.keep(&product, cached_rows),
                Found::Page(ahead) => drop(self.ahead.insert(product, ahead)),
            }
        }
        Ok(())
    }

    async fn scan(&mut self, scan: &Scan<'_>, page: &mut WatchPage) -> Result<Option<Cursor>, Error> {
        page.clear();
        let mut open = match self.open.take() {
            Some(open) if scan.after.is_some() && open.continues(scan) => open,
            _ => self.start(scan).await?,
        };
        let most = scan.page_rows.max(1);
        let mut next = open.next(most, page).await?;
        if let (true, Some((policy, _))) = (open.by_bucket(), scan.buckets)
            && !self.index_still_serves(policy).await?
        {
            page.clear();
            open = self.start_uncached(scan)?;
            next = open.next(most, page).await?;
        }
        if !open.by_bucket() {
            self.shared.note_large(scan.product, open.count);
        }
        if next.is_some() {
            self.open = Some(open);
        }
        Ok(next)
    }
}
