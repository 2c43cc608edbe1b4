//! Builds or repairs the index of one product, until it is known to be complete.
//!
//! ```text
//! start ─▶ wait a margin ─▶ copy alerts ─▶ compare, delete strays ─▶ verified, as of start
//! ```
//!
//! Copies carry the write times of their rows, so a newer write or delete that arrives meanwhile
//! wins. `verified_at` is written with the timestamp of the start: a writer that could not update
//! the index since then has cleared it with a later timestamp, and that wins. Writes stamped
//! before the start have finished when alerts are read, because a margin is waited. So a row
//! older than the start that is in one table only is a real difference, not a write in progress.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use pricedrop_model::cache::CacheKey;
use pricedrop_model::plugin::Bucketing;
use pricedrop_model::ports::Error;
use pricedrop_model::{BucketId, Cause, ProductId, UserId, WallTime, Watch, WatchPage, WriteTime};
use scylla::value::CqlValue;
use tokio::sync::mpsc;

use super::cached_rows::Live;
use super::index_build::IndexBuild;
use super::index_scan::{BucketIndexScan, IndexScan};
use super::limits::{BATCH_BYTES, BATCHES, REPAIR_PAUSE_MS};
use super::page_stream::Query;
use super::part::{Partition, text};
use super::policy::assign_bucket;
use super::requests::{Values, Write};
use super::rows::{Bounds, watch};
use super::shared::Shared;
use super::snapshot_codec::Header;
use super::write::{at, bucket_row, place, row_key, timestamp};
use super::write_timestamps::Stamp;

/// The build or repair of one product's index.
pub(super) struct Repair<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) product: &'a ProductId,
    pub(super) build: &'a IndexBuild,
    pub(super) policy: Arc<dyn Bucketing>,
}

impl Repair<'_> {
    /// Copies, compares, and marks the index as complete. Returns how many watches it has.
    pub(super) async fn run(&self) -> Result<u64, Error> {
        let start = self.shared.write_timestamps.next_of_all();
        self.shared.write_timestamps.settle(start.updated_at).await;
        let header = self.copy(start).await?;
        let live = Live::read(self.shared, self.product, &self.build.index).await?;
        self.compare(start, &live.buckets).await?;
        self.declare(start, &header, &live.buckets).await?;
        Ok(header.rows)
    }

    /// Copies every watch into its bucket.
    async fn copy(&self, start: Stamp) -> Result<Header, Error> {
        let mut query = Query::new(self.shared, Partition::Product(self.product.clone()), Bounds::ALL, None)?;
        let (mut header, mut page, mut more) = (Header::default(), WatchPage::default(), true);
        let (mut known, mut last) = (BTreeSet::new(), BucketId(i64::MIN));
        while more {
            page.clear();
            more = query.next(&mut page).await?;
            let prices = page.iter().map(|row| row.threshold).collect();
            let buckets = assign_bucket(Some(self.policy.clone()), self.product, prices).await;
            let buckets = buckets.ok_or_else(|| Error::Unavailable("the policy gave no buckets".into()))?;
            if !buckets.is_sorted() || buckets.first().is_some_and(|&first| first < last) {
                let what = "a higher price has a lower bucket";
                self.policy.report_breach(self.product, what);
                return Err(Error::Fatal(format!("policy {}: {what}", self.build.name).into()));
            }
            last = buckets.last().copied().unwrap_or(last);
            page.iter().for_each(|row| header.count(row.mode, row.updated_at));
            self.copy_page(start, &page, &buckets, &mut known).await?;
        }
        Ok(header)
    }

    async fn copy_page(
        &self,
        start: Stamp,
        page: &WatchPage,
        buckets: &[BucketId],
        known: &mut BTreeSet<BucketId>,
    ) -> Result<(), Error> {
        let index = self.shared.index()?;
        let (mut writes, mut batches): (Vec<Write<'_>>, Vec<Vec<Write<'_>>>) = (Vec::new(), Vec::new());
        let (mut bytes, mut of) = (0, None);
        for (row, &bucket) in page.iter().zip(buckets) {
            if bytes > BATCH_BYTES || of != Some(bucket) {
                batches.push(std::mem::take(&mut writes));
                (bytes, of) = (0, Some(bucket));
            }
            if known.insert(bucket) {
                batches.push(vec![(&index.insert_live, self.live_row(start, bucket))]);
            }
            let watch: Watch = watch(self.product, &row)?;
            // Rows whose mode is null, which other programs wrote, have no write time here. Their
            // copies get the smallest one, so that every later write wins.
            let write_time = row.write_time.max(WriteTime(1));
            writes.push((&index.insert, bucket_row(&self.build.index, bucket, &watch, write_time)));
            bytes += 96 + self.product.as_str().len() + row.user.len();
        }
        batches.push(writes);
        self.write_all(batches).await
    }

    async fn write_all(&self, batches: Vec<Vec<Write<'_>>>) -> Result<(), Error> {
        let mut writes = Vec::with_capacity(batches.len());
        for batch in batches.iter().filter(|batch| !batch.is_empty()) {
            writes.push(self.shared.requests.write(batch));
        }
        futures::stream::iter(writes).buffer_unordered(BATCHES).try_collect::<Vec<()>>().await?;
        Ok(())
    }

    fn live_row(&self, start: Stamp, bucket: BucketId) -> Values {
        let mut values = self.key();
        values.push(Some(CqlValue::BigInt(bucket.0)));
        values.extend(at(start.write_time.0));
        values
    }

    fn key(&self) -> Values {
        vec![text(self.product.as_str()), text(&self.build.index)]
    }

    /// Compares both tables row by row. Deletes index rows that have no watch, and fails if
    /// watches are missing from the index.
    async fn compare(&self, start: Stamp, buckets: &[BucketId]) -> Result<(), Error> {
        let mut plain = IndexScan::new(self.shared, Partition::Product(self.product.clone()))?;
        let mut index =
            BucketIndexScan::new(self.shared, &self.policy, self.product, &self.build.index, buckets);
        let (mut strays, mut missing) = (Vec::new(), 0u64);
        let old = |time: WriteTime| time < start.write_time;
        while let Some(row) = index.next().await? {
            while row.in_place
                && let Some(key) = plain.peek().await?
                && key.place() < row.key.place()
            {
                missing += u64::from(old(key.write_time));
                plain.next().await?;
            }
            let twin = match plain.peek().await? {
                Some(key) if row.in_place && key.place() == row.key.place() => Some(key.write_time),
                _ => None,
            };
            match twin {
                Some(time) => {
                    // A copy that is older than its row lacks the row's last change.
                    missing += u64::from(row.key.write_time < time && old(time));
                    plain.next().await?;
                }
                None if old(row.key.write_time) => {
                    let user = UserId::new(&row.key.user).map_err(|error| Error::Fatal(Cause::of(error)))?;
                    let mut values = at(row.key.write_time.0);
                    values.extend(self.key());
                    values.extend(place(&self.build.index, row.bucket, &user));
                    values.extend(row_key(row.key.threshold, &user));
                    strays.push(vec![(&self.shared.index()?.delete, values)]);
                }
                None => {}
            }
            if strays.len() >= BATCHES {
                self.write_all(std::mem::take(&mut strays)).await?;
            }
        }
        while let Some(key) = plain.next().await? {
            missing += u64::from(old(key.write_time));
        }
        self.write_all(strays).await?;
        match missing {
            0 => Ok(()),
            _ => Err(Error::Unavailable(format!(
                "the index of product {} lacks {missing} watches after its repair; the product is read by the plain range",
                self.product
            ).into())),
        }
    }

    /// Marks the index as complete, so that readers use it. Cached buckets may be outdated and
    /// are dropped first; an outdated live list only says that the index is not complete yet.
    async fn declare(&self, start: Stamp, header: &Header, buckets: &[BucketId]) -> Result<(), Error> {
        let (cache, product, policy) = (&*self.shared.cache, self.product, &self.build.index);
        let bucket = |&bucket| CacheKey::Bucket { product: product.clone(), policy: policy.clone(), bucket };
        let cache_keys: Vec<CacheKey> = buckets.iter().map(bucket).collect();
        let stale = cache.begin_invalidation(&cache_keys).await;
        if stale.or(cache.end_invalidation(&cache_keys).await).is_some() {
            return Err(Error::Unavailable("the cache could not be invalidated of a repaired index".into()));
        }
        let live = [CacheKey::Live { product: product.clone(), policy: policy.clone() }];
        cache.begin_invalidation(&live).await;
        let written = self.shared.requests.write(&self.declaration(start, header)?).await;
        cache.end_invalidation(&live).await;
        written
    }

    fn declaration(&self, start: Stamp, header: &Header) -> Result<Vec<Write<'_>>, Error> {
        let index = self.shared.index()?;
        let flags = [
            (header.every_drop, &index.flag_every_drop),
            (header.crossing, &index.flag_crossing),
            (header.modeless, &index.flag_modeless),
        ];
        let at_time = |time: WallTime, micros: i64| [at(micros), vec![timestamp(time)], self.key()].concat();
        let set = flags.into_iter().filter(|(set, _)| *set);
        let mut writes: Vec<Write<'_>> =
            set.map(|(_, statement)| (statement, [at(start.write_time.0), self.key()].concat())).collect();
        if let Some(changed) = header.last_changed {
            writes.push((&index.touch, at_time(changed, changed.0.saturating_mul(1000))));
        }
        writes.push((&index.verify, at_time(self.shared.write_timestamps.now(), start.write_time.0)));
        Ok(writes)
    }
}

impl Shared {
    /// Repairs the active index of a product, unless it is complete. Returns how many watches it
    /// has if it was repaired.
    pub(super) async fn repair_active(
        self: &Arc<Shared>,
        product: &ProductId,
        again: bool,
    ) -> Result<Option<u64>, Error> {
        let Some(active) = self.policies().await?.active else { return Ok(None) };
        let Some(policy) = self.policy_of(&active) else { return Ok(None) };
        if !again && Live::read(self, product, &active.index).await?.verified {
            return Ok(None);
        }
        let repair = Repair { shared: self, product, build: &active, policy };
        let rows = repair.run().await?;
        self.requests.metrics.repairs.inc();
        Ok(Some(rows))
    }
}

/// Repairs queued products one by one, until the adapters are dropped.
pub(super) async fn keep_up(shared: Weak<Shared>, mut products: mpsc::Receiver<ProductId>) {
    while let Some(product) = products.recv().await {
        let Some(shared) = shared.upgrade() else { return };
        let repaired = shared.repair_active(&product, false).await;
        shared.repairs.waiting().remove(&product);
        let failed = repaired.is_err();
        match repaired {
            Ok(Some(watches)) => {
                tracing::info!(%product, watches, "the index of a product is verified; the product is read by bucket")
            }
            Ok(None) => {}
            Err(error) => {
                shared.requests.metrics.failed_repairs.inc();
                tracing::warn!(%product, %error, "the index of a product could not be repaired");
            }
        }
        drop(shared);
        if failed {
            tokio::time::sleep(Duration::from_millis(REPAIR_PAUSE_MS)).await;
        }
    }
}
