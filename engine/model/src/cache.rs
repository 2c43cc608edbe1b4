//! The port for a cache of watches, between the notifier and the store of watches.

use async_trait::async_trait;
use bytes::Bytes;

use crate::{BucketId, ProductId};

/// The key of a cache entry. An entry is read and cached as a whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shelf {
    /// All watches of a product that has no index by bucket.
    Plain(ProductId),
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
    /// Not cached: read the store, and fill the entry using this token.
    Fill(u64),
    /// Read the store and do not fill: the entry is being written, another reader fills it, or the
    /// cache is unavailable.
    Pass,
}

/// A cache of watches. It is never the source of truth: a failure only costs time, with one
/// exception, which is an invalidation that did not reach the cache (see [`ShelfCache::mark`]).
///
/// A write calls `mark`, then writes the store, then calls `drop`. Invariant: between `mark` and
/// `drop` readers read the store, so they miss no acknowledged write.
#[async_trait]
pub trait ShelfCache: Send + Sync {
    /// Returns one answer per key, in order.
    async fn get(&self, shelves: &[Shelf]) -> Vec<Cached>;

    /// Stores an entry, if its token is still valid: no write has called `mark` or `drop` since.
    async fn fill(&self, shelf: &Shelf, token: u64, bytes: Bytes);

    /// Begins an invalidation, before the write. None: the cache received it. Otherwise readers may
    /// find the old entry until this many milliseconds after the write.
    async fn mark(&self, shelves: &[Shelf]) -> Option<u64>;

    /// Ends an invalidation, after the write: removes the entries. Returns the same as `mark`.
    async fn drop(&self, shelves: &[Shelf]) -> Option<u64>;
}

/// A cache that caches nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoCache;

#[async_trait]
impl ShelfCache for NoCache {
    async fn get(&self, shelves: &[Shelf]) -> Vec<Cached> {
        vec![Cached::Pass; shelves.len()]
    }

    async fn fill(&self, _: &Shelf, _: u64, _: Bytes) {}

    async fn mark(&self, _: &[Shelf]) -> Option<u64> {
        None
    }

    async fn drop(&self, _: &[Shelf]) -> Option<u64> {
        None
    }
}
