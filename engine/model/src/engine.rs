//! The engine as its operators see it: its health, its plugins and its bucket indexes.

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
    /// Why it is not ready, or what somebody should look at. None: it is ready and well.
    async fn reasons(&self) -> Vec<Reason>;

    /// The plugins: those that serve, those that are staged, those that were refused.
    async fn plugins(&self) -> Status;

    /// These addresses of a channel in canonical form, or what is wrong with each, in order.
    /// Addresses of a channel that is not loaded stay as they are.
    async fn normalize(&self, channel: &str, addresses: Vec<String>) -> Vec<Result<String, String>>;

    /// The bucket indexes.
    ///
    /// # Errors
    /// The store is away; try again.
    async fn buckets(&self) -> Result<Buckets, Error>;

    /// Rebuilds the bucket indexes by the staged policy, and makes it active.
    ///
    /// # Errors
    /// There is nothing to do, or the store is away.
    async fn migrate_buckets(&self) -> Result<Migrated, BucketsError>;

    /// Builds the index of a product, or of all large ones, from their watches, and compares
    /// them.
    ///
    /// # Errors
    /// There is nothing to do, or the store is away.
    async fn repair_buckets(&self, product: Option<ProductId>) -> Result<Repaired, BucketsError>;
}

/// The bucket indexes, and the policies that they follow.
#[derive(Debug, Clone, Serialize)]
pub struct Buckets {
    /// The name of the policy that they follow.
    pub active: Option<String>,
    /// The name of the policy that a migration would move them to.
    pub staged: Option<String>,
    /// How far a migration or a repair is, while there is one.
    pub migration: Option<String>,
    /// What the store counts.
    #[serde(flatten)]
    pub indexes: Option<IndexStatus>,
}

/// A migration that was carried out.
#[derive(Debug, Clone, Serialize)]
pub struct Migrated {
    /// The name of the policy that is active now.
    pub active: String,
}

/// Why bucket indexes were not migrated, or not repaired.
#[derive(Debug, thiserror::Error)]
pub enum BucketsError {
    /// There is nothing to do, or it cannot be done now; in words.
    #[error("{0}")]
    Refused(String),
    /// The store is away; try again.
    #[error(transparent)]
    Store(#[from] Error),
}
