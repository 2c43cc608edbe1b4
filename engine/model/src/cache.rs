//! A cache of watches, between the notifier and their store.

use async_trait::async_trait;
use bytes::Bytes;

use crate::{BucketId, ProductId};

/// Watches that are read and cached as a whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shelf {
    /// All watches of a product that is read by plain range.
    Plain(ProductId),
    /// Which buckets a product has under a policy, and what is in them.
    Live {
        /// The product.
        product: ProductId,
        /// The policy's name.
        policy: String,
    },
    /// One of those buckets.
    Bucket {
        /// The product.
        product: ProductId,
        /// The policy's name.
        policy: String,
        /// The bucket.
        bucket: BucketId,
    },
}

/// What a cache says of a shelf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cached {
    /// As it was stored.
    Hit(Bytes),
    /// Read the store, and fill with this token.
    Fill(u64),
    /// Read the store and fill nothing: it is being written, somebody else
    /// fills it, or the cache is away.
    Pass,
}

/// A cache of shelves. It is never the truth: whatever it cannot do costs time
/// alone, but for a write it could not be told of.
///
/// A write marks its shelves, writes the store, then drops them. A reader that
/// finds a mark reads the store, so no acknowledged write is missed.
#[async_trait]
pub trait ShelfCache: Send + Sync {
    /// What it has of these shelves, in their order.
    async fn get(&self, shelves: &[Shelf]) -> Vec<Cached>;

    /// Stores a shelf, if the token still stands.
    async fn fill(&self, shelf: &Shelf, token: u64, bytes: Bytes);

    /// Marks shelves that are about to be written; none: the cache was told.
    /// Else a reader may find the old shelf until that long after the write,
    /// milliseconds.
    async fn mark(&self, shelves: &[Shelf]) -> Option<u64>;

    /// Drops shelves that were written, and their marks; answers as `mark`.
    async fn drop(&self, shelves: &[Shelf]) -> Option<u64>;
}

/// No cache at all.
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
