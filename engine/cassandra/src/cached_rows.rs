//! Cache entries of whole products and whole buckets, and of lists of buckets: asks the
//! cache and fills it.

use std::sync::Arc;

use bytes::Bytes;
use pricedrop_model::cache::{CacheKey, Cached};
use pricedrop_model::ports::Error;
use pricedrop_model::{BucketId, ProductId, WallTime, WatchPage};
use scylla::value::CqlTimestamp;
use serde::{Deserialize, Serialize};

use super::error::misfit;
use super::page_stream::Query;
use super::part::{Partition, text};
use super::rows::Bounds;
use super::shared::Shared;
use super::snapshot_codec::{self, Encoder, Header, Snapshot};
use super::tables::Table;

/// Where the rows of a partition come from.
#[derive(Debug, Clone)]
pub(super) enum CachedRows {
    /// All rows are here.
    Snapshot(Snapshot),
    /// They are too many for a cache entry: read a range from Cassandra.
    TooLarge,
    /// The cache has no usable entry and accepts none now: read a range from Cassandra.
    Uncached,
}

/// Returns the cache key of a partition.
pub(super) fn cache_key(partition: &Partition) -> CacheKey {
    match partition.clone() {
        Partition::Product(product) => CacheKey::Product(product),
        Partition::Bucket(product, policy, bucket) => CacheKey::Bucket { product, policy, bucket },
    }
}

/// Turns the cache's answer for a partition into where its rows come from; fills the cache if it
/// asks for that.
pub(super) async fn cached_rows(
    shared: &Arc<Shared>,
    partition: &Partition,
    cached: Cached,
) -> Result<CachedRows, Error> {
    match cached {
        Cached::Hit(bytes) => Ok(match Snapshot::open(bytes) {
            Some(snapshot) if snapshot.header().too_large => CachedRows::TooLarge,
            Some(snapshot) => CachedRows::Snapshot(snapshot),
            None => CachedRows::Uncached,
        }),
        Cached::Pass => Ok(CachedRows::Uncached),
        Cached::Fill(lease) => fill(shared, partition, lease).await,
    }
}

/// Reads all rows and stores them in the cache.
async fn fill(shared: &Arc<Shared>, partition: &Partition, lease: u64) -> Result<CachedRows, Error> {
    let mut query = Query::new(shared, partition.clone(), Bounds::ALL, None)?;
    let (mut encoder, mut page, mut more) = (Encoder::default(), WatchPage::default(), true);
    let most = shared.options.snapshot_rows as u64;
    while more && encoder.rows() <= most {
        page.clear();
        more = query.next(&mut page).await?;
        encoder.add(&page);
    }
    let key = cache_key(partition);
    if encoder.rows() > most {
        shared.cache.fill(&key, lease, snapshot_codec::too_large(encoder.rows())).await;
        return Ok(CachedRows::TooLarge);
    }
    let bytes = encoder.finish();
    shared.cache.fill(&key, lease, bytes.clone()).await;
    Ok(Snapshot::open(bytes).map_or(CachedRows::Uncached, CachedRows::Snapshot))
}

/// The format of a cached live list. A list of any other format is ignored.
const LIVE_FORMAT: u8 = 1;

/// The list of a product's buckets in an index, and what is known of its watches.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Live {
    /// Whether the index is complete for this product.
    pub(super) verified: bool,
    every_drop: bool,
    crossing: bool,
    modeless: bool,
    last_changed: Option<WallTime>,
    /// In ascending order.
    pub(super) buckets: Vec<BucketId>,
}

type LiveRow =
    (Option<i64>, Option<CqlTimestamp>, Option<bool>, Option<bool>, Option<bool>, Option<CqlTimestamp>);

impl Live {
    /// Returns what a summary needs; the number of rows is unknown and stays 0.
    pub(super) fn header(&self) -> Header {
        Header {
            every_drop: self.every_drop,
            crossing: self.crossing,
            modeless: self.modeless,
            last_changed: self.last_changed,
            ..Header::default()
        }
    }

    /// Reads the list from the cache, else from the table.
    pub(super) async fn get(shared: &Shared, product: &ProductId, index: &str) -> Result<Live, Error> {
        let key = CacheKey::Live { product: product.clone(), policy: index.to_owned() };
        let cached = shared.cache.get(std::slice::from_ref(&key)).await.into_iter().next();
        if let Some(Cached::Hit(bytes)) = &cached
            && let Some((&LIVE_FORMAT, body)) = bytes.split_first()
            && let Ok(live) = postcard::from_bytes(body)
        {
            return Ok(live);
        }
        let live = Live::read(shared, product, index).await?;
        if let Some(Cached::Fill(lease)) = cached {
            let bytes = postcard::to_extend(&live, vec![LIVE_FORMAT]).expect("it holds only plain values");
            shared.cache.fill(&key, lease, Bytes::from(bytes)).await;
        }
        Ok(live)
    }

    /// Reads the list from the table.
    pub(super) async fn read(shared: &Shared, product: &ProductId, index: &str) -> Result<Live, Error> {
        let table = shared.requests.name(Table::Live);
        let key = vec![text(product.as_str()), text(index)];
        let rows = shared.requests.read(&shared.index()?.live, &key).await?;
        let mut live = Live::default();
        for row in rows.rows::<LiveRow>().map_err(misfit(table))? {
            let (bucket, verified, every_drop, crossing, modeless, changed) = row.map_err(misfit(table))?;
            live.verified = verified.is_some();
            live.every_drop = every_drop.unwrap_or(false);
            live.crossing = crossing.unwrap_or(false);
            live.modeless = modeless.unwrap_or(false);
            live.last_changed = changed.map(|at| WallTime(at.0));
            live.buckets.extend(bucket.map(BucketId));
        }
        Ok(live)
    }
}
