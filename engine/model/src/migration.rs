//! The port for the bucket indexes of the active policy: their status, their migration to another
//! policy, and their repair.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;

use crate::ProductId;
use crate::plugin::Bucketing;
use crate::ports::{Error, PolicyRegistry};

/// The progress of a migration or a repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Indexes are being built.
    Building {
        /// Products done so far.
        products: usize,
        /// Products in total.
        of: usize,
        /// Watches indexed so far.
        watches: u64,
    },
    /// Indexes are being compared with the plain rows.
    Verifying {
        /// Products done so far.
        products: usize,
        /// Products in total.
        of: usize,
    },
    /// The new policy is active. The old indexes are about to be dropped.
    CutOver,
    /// The old indexes were dropped.
    Done,
    /// Products that are large enough for an index are being counted.
    Counting {
        /// Watches counted so far.
        watches: u64,
        /// Large products found so far.
        large: usize,
    },
    /// Indexes are being repaired.
    Repairing {
        /// Products done so far.
        products: usize,
        /// Products in total.
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

/// A callback that receives progress.
pub type OnProgress<'a> = &'a (dyn Fn(Progress) + Send + Sync);

/// The status of the indexes of all products.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexStatus {
    /// Products that are read by bucket.
    pub products: u64,
    /// Products with an index that is not read: small products, and those waiting for a repair.
    pub unverified: u64,
    /// Products with rows of an index that is neither active nor being built.
    pub leftover: u64,
    /// The name of the policy that the indexes are being migrated to.
    pub building: Option<String>,
    /// The number of shards of each bucket.
    pub shards: u32,
    /// The configured number of shards. A migration to the same policy applies it.
    pub shards_wanted: u32,
}

/// The result of a repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Repaired {
    /// How many products were repaired.
    pub repaired: usize,
    /// How many watches they have.
    pub watches: u64,
}

/// The port for migrating and repairing bucket indexes.
#[async_trait]
pub trait PolicyMigration: PolicyRegistry {
    /// Returns the status of the indexes, if the store counts them.
    ///
    /// # Errors
    /// The store is unavailable; try again.
    async fn status(&self) -> Result<Option<IndexStatus>, Error>;

    /// Migrates the indexes to this policy, and makes it the active one.
    ///
    /// # Errors
    /// The store is unavailable, or the policy gives no answer. The old policy stays active.
    async fn migrate(&self, policy: Arc<dyn Bucketing>, progress: OnProgress<'_>) -> Result<(), Error>;

    /// Returns whether the configured number of shards differs from the present one. If so, a
    /// migration to the same policy is needed.
    ///
    /// # Errors
    /// The store is unavailable; try again.
    async fn shards_differ(&self) -> Result<bool, Error> {
        Ok(false)
    }

    /// Rebuilds and compares the index of a product, or of all large products. `None` means the store
    /// repairs its indexes by itself.
    ///
    /// # Errors
    /// The store is unavailable, or no policy is active.
    async fn repair(
        &self,
        product: Option<ProductId>,
        progress: OnProgress<'_>,
    ) -> Result<Option<Repaired>, Error>;
}
