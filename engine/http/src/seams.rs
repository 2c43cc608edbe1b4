//! What the API asks of the engine behind it.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use pricedrop_model::dispatch::{CurrentPrices, DeadLetters, Leases, Recipients, RetryQueue};
use pricedrop_model::seams::{Error, Outcome, WatchWriter};
use pricedrop_model::{Clock, Partition, Position, ProductId, Rules};
use serde::Serialize;

use crate::Measure;

/// Everything the routes reach.
#[derive(Clone)]
pub struct Api {
    /// The engine's clock.
    pub clock: Arc<dyn Clock>,
    /// For whether a new watch is armed.
    pub rules: Rules,
    /// Takes prices.
    pub intake: Arc<dyn PriceIntake>,
    /// Watches.
    pub watches: Arc<dyn WatchWriter>,
    /// Addresses.
    pub recipients: Arc<dyn Recipients>,
    /// Whose delivery is whose.
    pub leases: Arc<dyn Leases>,
    /// Where replayed deliveries go.
    pub retries: Arc<dyn RetryQueue>,
    /// What died.
    pub dead_letters: Arc<dyn DeadLetters>,
    /// What products cost.
    pub prices: Arc<dyn CurrentPrices>,
    /// What was told.
    pub outbox: Arc<dyn Outbox>,
    /// Health, plugins, buckets, metrics.
    pub engine: Arc<dyn Engine>,
}

/// A record on its way into the input. Without a value it is a tombstone of
/// the product that is its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecord {
    /// The product of a tombstone.
    pub key: Option<Bytes>,
    /// The update, as it was posted.
    pub value: Option<Bytes>,
}

/// What became of a posted record, which is durable in any case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Posted {
    /// It was decided now.
    Decided {
        /// Where it stands in the input.
        offset: i64,
        /// What it led to.
        outcome: Outcome,
    },
    /// It had been taken before.
    Already {
        /// Where it stands in the input.
        offset: i64,
    },
    /// It stands in the input, and whoever owns its partition decides.
    Queued(Position),
}

impl Posted {
    /// Where it stands, if the input has one partition.
    pub(crate) fn offset(&self) -> Option<i64> {
        match self {
            Posted::Decided { offset, .. } | Posted::Already { offset } => Some(*offset),
            Posted::Queued(_) => None,
        }
    }
}

/// Why records have no answer.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// Nothing was taken: the position asked for lies ahead of the input.
    #[error("the input goes on at offset {next}; records before this post are missing")]
    Gap {
        /// Where the input goes on.
        next: i64,
    },
    /// Nothing was taken: post again later.
    #[error("{0}")]
    NotTaken(String),
    /// They may have been taken: post again with the offset of the first, and
    /// none is taken twice.
    #[error("{0}")]
    Unknown(String),
    /// Some may have been taken: post again. With a sequence, or while no other
    /// price came in between, nobody is told twice.
    #[error("{0}")]
    Partly(String),
    /// Nothing was taken: this input has no offset to post from.
    #[error("{0}")]
    NoOffset(String),
}

/// The input, as a producer over HTTP sees it.
#[async_trait]
pub trait PriceIntake: Send + Sync {
    /// Takes records in order and answers for each of them, in order, when all
    /// are durable; decided as well where this engine is the one to decide.
    /// With an offset, records before the input's end were taken earlier and
    /// are only counted: so a producer that repeats a post repeats nothing.
    ///
    /// # Errors
    /// Says whether posting again can help.
    async fn post(&self, records: Vec<NewRecord>, offset: Option<i64>) -> Result<Vec<Posted>, IntakeError>;
}

/// `user_notifications`, to look into.
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Notifications of a partition as JSON lines from this offset on, at most
    /// so many; and the offset to go on from.
    ///
    /// # Errors
    /// The store is away; try again.
    async fn read(&self, partition: Partition, from: i64, most: usize) -> Result<(Vec<u8>, i64), Error>;

    /// How many partitions there are; each has offsets of its own.
    ///
    /// # Errors
    /// The store is away; try again.
    async fn partitions(&self) -> Result<usize, Error>;
}

/// How bad a reason is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The engine does not do its work.
    Error,
    /// It does, and somebody should look.
    Warning,
}

/// Why the engine is not ready, or not well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// Which part.
    pub part: String,
    /// How bad.
    pub severity: Severity,
    /// What is wrong, in words.
    pub reason: String,
}

/// Why buckets were not migrated, or not repaired.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// There is nothing to do, or it cannot be done now; in words.
    #[error("{0}")]
    Refused(String),
    /// The store is away; try again.
    #[error(transparent)]
    Store(#[from] Error),
}

/// The engine as a whole.
#[async_trait]
pub trait Engine: Send + Sync {
    /// Nothing worth saying: ready and well.
    async fn reasons(&self) -> Vec<Reason>;

    /// The plugins, loaded, staged and refused.
    async fn plugins(&self) -> serde_json::Value;

    /// These addresses of a channel in their canonical form, or what is wrong with
    /// each, in order. Those of a channel that is not loaded stay as they are.
    async fn canonical(&self, channel: &str, addresses: Vec<String>) -> Vec<Result<String, String>>;

    /// The active bucketing policy and the staged one.
    ///
    /// # Errors
    /// The store is away; try again.
    async fn buckets(&self) -> Result<serde_json::Value, Error>;

    /// Rebuilds the buckets by the staged policy and makes it active.
    ///
    /// # Errors
    /// Nothing to do, or the store is away.
    async fn migrate_buckets(&self) -> Result<serde_json::Value, MigrateError>;

    /// Builds and compares the buckets of a product, or of all that are large,
    /// from their watches.
    ///
    /// # Errors
    /// Nothing to do, or the store is away.
    async fn repair_buckets(&self, product: Option<ProductId>) -> Result<serde_json::Value, MigrateError>;

    /// All that is counted.
    async fn measures(&self) -> Vec<Measure>;
}
