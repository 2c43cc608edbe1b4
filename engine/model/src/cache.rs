//! The port for a cache of watches, between the notifier and the store of watches.

use async_trait::async_trait;
use bytes::Bytes;

use crate::{BucketId, ProductId};

/// The key of a cache entry. An entry is read and cached as a whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CacheKey {
    /// All watches of a product that has no index by bucket.
    Product(ProductId),
    /// What a policy's index of a product contains: its buckets, and a summary of its watches.
    Live {
        /// The product.
        product: ProductId,
        /// The policy's name.
        policy: String,
    },
    /// The watches of one bucket.
    Bucket {
        /// The product.
        product: ProductId,
        /// The policy's name.
        policy: String,
        /// The bucket.
        bucket: BucketId,
    },
}

/// The answer of a cache for one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cached {
    /// The cached bytes.
    Hit(Bytes),
    /// Not cached: read the store, and fill the entry using this lease.
    Fill(u64),
    /// Read the store and do not fill: the entry is being written, another reader fills it, or the
    /// cache is unavailable.
    Pass,
}

/// A cache of watches. It is never the source of truth: a failure only costs time, with one
/// exception, which is an invalidation that did not reach the cache (see [`WatchCache::begin_invalidation`]).
///
/// A write begins an invalidation, then writes the store, then ends the invalidation. Invariant:
/// in between, readers read the store, so they miss no acknowledged write.
#[async_trait]
pub trait WatchCache: Send + Sync {
    /// Returns one answer per key, in order.
    async fn get(&self, keys: &[CacheKey]) -> Vec<Cached>;

    /// Stores an entry, if its fill lease is still valid: no invalidation has begun or ended since.
    async fn fill(&self, key: &CacheKey, lease: u64, bytes: Bytes);

    /// Begins an invalidation, before the write. `None` means the cache received it. Otherwise readers may
    /// find the old entry until this many milliseconds after the write.
    async fn begin_invalidation(&self, keys: &[CacheKey]) -> Option<u64>;

    /// Ends an invalidation, after the write: removes the entries. Returns the same as
    /// `begin_invalidation`.
    async fn end_invalidation(&self, keys: &[CacheKey]) -> Option<u64>;
}

/// A cache that caches nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoCache;

#[async_trait]
impl WatchCache for NoCache {
    async fn get(&self, keys: &[CacheKey]) -> Vec<Cached> {
        vec![Cached::Pass; keys.len()]
    }

    async fn fill(&self, _: &CacheKey, _: u64, _: Bytes) {}

    async fn begin_invalidation(&self, _: &[CacheKey]) -> Option<u64> {
        None
    }

    async fn end_invalidation(&self, _: &[CacheKey]) -> Option<u64> {
        None
    }
}
