//! Runs one scan page by page: from a cache entry, from one partition, or bucket by bucket.

use std::collections::VecDeque;
use std::sync::Arc;

use pricedrop_model::cache::Cached;
use pricedrop_model::ports::{Error, Scan};
use pricedrop_model::{BucketId, Cause, Cursor, Floor, Hysteresis, Price, ProductId, UserId, WatchPage};
use tokio::sync::mpsc;

use super::cached_rows::{self, CachedRows};
use super::limits::BUCKETS_AHEAD;
use super::page_stream::{Page, PageStream, Query, send_all};
use super::part::Partition;
use super::rows::Bounds;
use super::shared::Shared;
use super::snapshot_codec::Snapshot;

/// What a scan asks for, without its cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    product: ProductId,
    from: Price,
    below: Floor,
    hysteresis: Hysteresis,
    /// The name of a policy and the first bucket to read.
    buckets: Option<(String, BucketId)>,
}

impl Wanted {
    pub(super) fn of(scan: &Scan<'_>) -> Wanted {
        Wanted {
            product: scan.product.clone(),
            from: scan.from,
            below: scan.below,
            hysteresis: scan.hysteresis,
            buckets: scan.buckets.map(|(policy, from)| (policy.to_owned(), from)),
        }
    }
}

pub(super) fn bounds(scan: &Scan<'_>) -> Bounds {
    Bounds { from: scan.from, below: scan.below, hysteresis: scan.hysteresis }
}

/// Where the rows of a scan come from.
pub(super) enum Rows {
    Snapshot(Snapshot, Bounds),
    /// A query without read-ahead, because most queries have only one page. If there is another
    /// page, it becomes a `PageStream`.
    Query(Box<Query>),
    PageStream(PageStream),
    Buckets(Buckets),
    End,
}

/// A scan with its position.
pub(super) struct Open {
    wanted: Wanted,
    rows: Rows,
    /// Rows that were read but not returned, from `at` on.
    left: WatchPage,
    at: usize,
    bucket: Option<BucketId>,
    last: Option<Cursor>,
    /// Rows returned so far.
    pub(super) count: u64,
}

impl Open {
    pub(super) fn new(scan: &Scan<'_>, rows: Rows) -> Open {
        Open::with(Wanted::of(scan), rows, WatchPage::default(), scan.after.clone())
    }

    /// Opens a scan with rows that were read ahead.
    pub(super) fn with(wanted: Wanted, rows: Rows, left: WatchPage, after: Option<Cursor>) -> Open {
        let bucket = after.as_ref().and_then(|after| after.bucket);
        Open { wanted, rows, left, at: 0, bucket, last: after, count: 0 }
    }

    /// Returns whether `scan` continues this one at its position.
    pub(super) fn continues(&self, scan: &Scan<'_>) -> bool {
        self.last == scan.after && self.wanted == Wanted::of(scan)
    }

    pub(super) fn by_bucket(&self) -> bool {
        matches!(self.rows, Rows::Buckets(_))
    }

    /// Fills a page. Returns the cursor of its last row if there may be more.
    pub(super) async fn next(&mut self, most: usize, page: &mut WatchPage) -> Result<Option<Cursor>, Error> {
        let more = match &self.rows {
            Rows::Snapshot(snapshot, bounds) => {
                let more = snapshot.fill(bounds, self.last.as_ref(), most, page);
                more.ok_or_else(|| Error::Unavailable("a cached snapshot is damaged".into()))?
            }
            _ => self.next_read(most, page).await?,
        };
        self.count += page.len() as u64;
        let Some(last) = page.iter().last() else { return Ok(None) };
        let user = UserId::new(last.user).map_err(|error| Error::Fatal(Cause::of(error)))?;
        self.last = Some(Cursor { bucket: self.bucket, threshold: last.threshold, user });
        Ok(self.last.clone().filter(|_| more))
    }

    async fn next_read(&mut self, most: usize, page: &mut WatchPage) -> Result<bool, Error> {
        while self.at >= self.left.len() {
            self.at = 0;
            self.left.clear();
            if !self.read().await? {
                return Ok(false);
            }
        }
        if self.at == 0 && self.left.len() <= most {
            std::mem::swap(page, &mut self.left);
            self.left.clear();
        } else {
            self.left.iter().skip(self.at).take(most).for_each(|row| page.push(row));
            self.at += page.len();
        }
        Ok(self.at < self.left.len() || !matches!(self.rows, Rows::End))
    }

    /// Reads the next rows. Returns whether there may be any.
    async fn read(&mut self) -> Result<bool, Error> {
        match std::mem::replace(&mut self.rows, Rows::End) {
            Rows::Query(mut query) => {
                if query.next(&mut self.left).await? {
                    self.rows = Rows::PageStream(PageStream::of(*query));
                }
                Ok(true)
            }
            Rows::PageStream(mut page_stream) => {
                let Some(page) = page_stream.next().await? else { return Ok(false) };
                self.left = page;
                self.rows = Rows::PageStream(page_stream);
                Ok(true)
            }
            Rows::Buckets(mut buckets) => {
                let Some((bucket, page)) = buckets.next().await? else { return Ok(false) };
                (self.bucket, self.left) = (Some(bucket), page);
                self.rows = Rows::Buckets(buckets);
                Ok(true)
            }
            Rows::Snapshot(..) | Rows::End => Ok(false),
        }
    }
}

/// Buckets in ascending order, up to `BUCKETS_AHEAD` of them read ahead.
pub(super) struct Buckets {
    shared: Arc<Shared>,
    product: ProductId,
    index: String,
    bounds: Bounds,
    after: Option<Cursor>,
    waiting: VecDeque<BucketId>,
    ahead: VecDeque<(BucketId, PageStream)>,
}

impl Buckets {
    /// Selects the buckets of `live` that the scan must read.
    pub(super) fn new(shared: &Arc<Shared>, scan: &Scan<'_>, index: &str, live: &[BucketId]) -> Buckets {
        let from = scan.buckets.map_or(BucketId(i64::MIN), |(_, from)| from);
        let after = scan.after.as_ref().and_then(|after| after.bucket);
        let from = after.map_or(from, |after| after.max(from));
        Buckets {
            shared: shared.clone(),
            product: scan.product.clone(),
            index: index.to_owned(),
            bounds: bounds(scan),
            after: scan.after.clone(),
            waiting: live.iter().copied().filter(|&bucket| bucket >= from).collect(),
            ahead: VecDeque::new(),
        }
    }

    /// Returns the next page, with the bucket of its rows.
    async fn next(&mut self) -> Result<Option<(BucketId, WatchPage)>, Error> {
        loop {
            while self.ahead.len() < BUCKETS_AHEAD
                && let Some(bucket) = self.waiting.pop_front()
            {
                self.ahead.push_back((bucket, self.open(bucket)));
            }
            let Some((bucket, page_stream)) = self.ahead.front_mut() else { return Ok(None) };
            match page_stream.next().await? {
                Some(page) => return Ok(Some((*bucket, page))),
                None => self.ahead.pop_front(),
            };
        }
    }

    fn open(&self, bucket: BucketId) -> PageStream {
        let (shared, bounds, after) = (self.shared.clone(), self.bounds, self.after.clone());
        let partition = Partition::Bucket(self.product.clone(), self.index.clone(), bucket);
        PageStream::new(|pages| async move {
            if let Err(error) = read_bucket(&shared, partition, bounds, after, &pages).await {
                // If the send fails, the scan was dropped and nobody needs the error.
                let _ = pages.send(Err(error)).await;
            }
        })
    }
}

/// Sends a bucket's rows, from its cache entry if there is one.
async fn read_bucket(
    shared: &Arc<Shared>,
    partition: Partition,
    bounds: Bounds,
    mut after: Option<Cursor>,
    pages: &mpsc::Sender<Page>,
) -> Result<(), Error> {
    let cached = shared.cache.get(&[cached_rows::cache_key(&partition)]).await.into_iter().next();
    let cached_rows = cached_rows::cached_rows(shared, &partition, cached.unwrap_or(Cached::Pass)).await?;
    let CachedRows::Snapshot(snapshot) = cached_rows else {
        send_all(Query::new(shared, partition, bounds, after.as_ref())?, pages.clone()).await;
        return Ok(());
    };
    let most = usize::try_from(shared.options.page_rows).unwrap_or(1).max(1);
    loop {
        let mut page = WatchPage::default();
        let damaged = || Error::Unavailable("a cached snapshot is damaged".into());
        let more = snapshot.fill(&bounds, after.as_ref(), most, &mut page).ok_or_else(damaged)?;
        let last = page.iter().last().map(|row| (row.threshold, UserId::new(row.user)));
        if let Some((threshold, Ok(user))) = last {
            after = Some(Cursor { bucket: None, threshold, user });
        }
        if pages.send(Ok((page, more))).await.is_err() || !more {
            return Ok(());
        }
    }
}
