//! The port through which operators see and control a running engine: its health, its plugins and
//! its bucket indexes.

use async_trait::async_trait;
use serde::Serialize;

use crate::ProductId;
use crate::health::Reason;
use crate::migration::{IndexStatus, Repaired};
use crate::plugin::Status;
use crate::ports::Error;

/// A running engine.
#[async_trait]
pub trait Engine: Send + Sync {
    /// Returns why the engine is not ready, and what an operator should look at. Empty: it is ready
    /// and well.
    async fn reasons(&self) -> Vec<Reason>;

    /// Returns the status of all plugins: active, available, staged and refused.
    async fn plugins(&self) -> Status;

    /// Normalizes addresses of a channel. Returns the canonical form of each, or what is wrong with
    /// it, in order. Addresses stay as they are if the channel is not loaded.
    async fn normalize(&self, channel: &str, addresses: Vec<String>) -> Vec<Result<String, String>>;

    /// Returns the status of the bucket indexes.
    ///
    /// # Errors
    /// The store is unavailable; try again.
    async fn buckets(&self) -> Result<Buckets, Error>;

    /// Rebuilds the bucket indexes using the staged policy, and makes that policy active.
    ///
    /// # Errors
    /// There is nothing to do, or the store is unavailable.
    async fn migrate_buckets(&self) -> Result<Migrated, BucketsError>;

    /// Rebuilds the index of a product, or of all large products, from their watches, and compares
    /// it with them.
    ///
    /// # Errors
    /// There is nothing to do, or the store is unavailable.
    async fn repair_buckets(&self, product: Option<ProductId>) -> Result<Repaired, BucketsError>;
}

/// The status of the bucket indexes and their policies.
#[derive(Debug, Clone, Serialize)]
pub struct Buckets {
    /// The name of the policy that cuts the buckets.
    pub active: Option<String>,
    /// The name of the policy that a migration would make active.
    pub staged: Option<String>,
    /// The progress of the running migration or repair, in words.
    pub migration: Option<String>,
    /// Counts from the store, if it has them.
    #[serde(flatten)]
    pub indexes: Option<IndexStatus>,
}

/// A migration that succeeded.
#[derive(Debug, Clone, Serialize)]
pub struct Migrated {
    /// The name of the policy that is active now.
    pub active: String,
}

/// Why bucket indexes were not migrated, or not repaired.
#[derive(Debug, thiserror::Error)]
pub enum BucketsError {
    /// There is nothing to do, or it cannot be done now; the reason in words.
    #[error("{0}")]
    Refused(String),
    /// The store is unavailable; try again.
    #[error(transparent)]
    Store(#[from] Error),
}
