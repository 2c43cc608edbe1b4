//! The bucket indexes of the active policy: what is known of them, their move to another
//! policy, and their repair.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;

use crate::ProductId;
use crate::plugin::Bucketing;
use crate::ports::{Error, PolicyRegistry};

/// How far a migration or a repair is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Indexes are built: products done, and of how many.
    Building {
        /// Done so far.
        products: usize,
        /// Of so many.
        of: usize,
        /// Watches indexed so far.
        watches: u64,
    },
    /// Indexes are compared with the plain rows.
    Verifying {
        /// Done so far.
        products: usize,
        /// Of so many.
        of: usize,
    },
    /// The new policy is active.
    CutOver,
    /// The old indexes are dropped.
    Done,
    /// Products that are large enough for an index are looked for.
    Counting {
        /// Watches seen so far.
        watches: u64,
        /// Large products found so far.
        large: usize,
    },
    /// Indexes are repaired.
    Repairing {
        /// Done so far.
        products: usize,
        /// Of so many.
        of: usize,
        /// Watches indexed so far.
        watches: u64,
    },
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Progress::Building { products, of, watches } => {
                write!(f, "building: {products} of {of} products, {watches} watches")
            }
            Progress::Verifying { products, of } => write!(f, "comparing: {products} of {of} products"),
            Progress::CutOver => f.write_str("the new policy is active; the old buckets are dropped"),
            Progress::Done => f.write_str("done"),
            Progress::Counting { watches, large } => {
                write!(f, "counting: {watches} watches, {large} large products")
            }
            Progress::Repairing { products, of, watches } => {
                write!(f, "repairing: {products} of {of} products, {watches} watches")
            }
        }
    }
}

/// Hears how far it is.
pub type OnProgress<'a> = &'a (dyn Fn(Progress) + Send + Sync);

/// What is known of the indexes of all products.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexStatus {
    /// Products that are read by bucket.
    pub products: u64,
    /// Products with an index that is not used: small ones, and those that wait for their
    /// repair.
    pub unverified: u64,
    /// Products with rows of an index that is neither active nor being built.
    pub leftover: u64,
    /// The policy that the indexes are being moved to.
    pub building: Option<String>,
    /// Shards of each bucket.
    pub shards: u32,
    /// As many as are configured: a move to the same policy makes them so.
    pub shards_wanted: u32,
}

/// What was repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Repaired {
    /// So many products.
    pub repaired: usize,
    /// With so many watches.
    pub watches: u64,
}

/// Which policy's buckets are served, and what keeps them right.
#[async_trait]
pub trait PolicyMigration: PolicyRegistry {
    /// What is known of the indexes, if the store counts them.
    ///
    /// # Errors
    /// The store is away; try again.
    async fn status(&self) -> Result<Option<IndexStatus>, Error>;

    /// Moves the buckets to this policy and makes it the active one.
    ///
    /// # Errors
    /// The store is away, or the policy does not answer; the old one serves on.
    async fn migrate(&self, policy: Arc<dyn Bucketing>, progress: OnProgress<'_>) -> Result<(), Error>;

    /// Whether the buckets are to be in another number of shards: a move to the same
    /// policy.
    ///
    /// # Errors
    /// The store is away; try again.
    async fn shards_differ(&self) -> Result<bool, Error> {
        Ok(false)
    }

    /// Builds and compares the buckets of a product, or of all that are large. None: the
    /// store does so by itself.
    ///
    /// # Errors
    /// The store is away, or no policy is active.
    async fn repair(
        &self,
        product: Option<ProductId>,
        progress: OnProgress<'_>,
    ) -> Result<Option<Repaired>, Error>;
}
