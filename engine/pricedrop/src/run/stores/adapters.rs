//! The adapters of every port, whatever stores they are of.

use std::sync::Arc;

use async_trait::async_trait;
use pricedrop_model::archive::ArchiveSource;
use pricedrop_model::dispatch::{
    CurrentPrices, DeadLetters, Leases, NotificationLog, NotificationReader, Recipients, RetryQueue,
};
use pricedrop_model::health::Reason;
use pricedrop_model::intake::PriceIntake;
use pricedrop_model::migration::PolicyMigration;
use pricedrop_model::plugin::Plugins;
use pricedrop_model::ports::{Committer, UpdateSource, WatchStore, WatchWriter};
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use crate::report::Stopped;

/// Stores that answer, before plugins are loaded.
#[async_trait]
pub trait Opened: Send {
    /// Which policy's buckets are served: plugins are loaded by it.
    fn policies(&self) -> Arc<dyn PolicyMigration>;

    /// Whose archive it writes: an archive belongs to one log.
    fn archive_owner(&self) -> String;

    /// The adapters of every port.
    ///
    /// # Errors
    /// A store does not let the work begin.
    async fn build(self: Box<Self>, plugins: Arc<dyn Plugins>) -> Result<Stores, Stopped>;
}

/// The adapters of every port.
pub struct Stores {
    /// What each notifier reads and commits; none: this process has no notifier.
    pub workers: Vec<Worker>,
    /// What they read watches from.
    pub watches: Arc<dyn WatchStore>,
    /// Turns true when they are to commit what they have begun, and end.
    pub stop_workers: watch::Receiver<bool>,
    /// Ends the input: whatever was taken in is worked through.
    pub end_input: Box<dyn FnOnce() + Send>,
    /// What the archiver reads; none: this process has no archiver.
    pub archive: Vec<Box<dyn ArchiveSource>>,
    /// What the dispatcher reads; none: this process has no dispatcher.
    pub dispatch: Option<Dispatch>,
    /// What the API reaches, and the dispatcher as well.
    pub shown: Shown,
    /// What the stores say of themselves.
    pub health: Arc<dyn Health>,
}

/// What one notifier reads and commits.
pub struct Worker {
    /// Its updates.
    pub source: Box<dyn UpdateSource>,
    /// Its commits.
    pub committer: Box<dyn Committer>,
}

/// What the dispatcher alone reaches.
pub struct Dispatch {
    /// What to deliver.
    pub log: Box<dyn NotificationLog>,
}

/// What the API reaches, and the dispatcher as well.
#[derive(Clone)]
#[allow(missing_docs)]
pub struct Shown {
    pub intake: Arc<dyn PriceIntake>,
    pub watches: Arc<dyn WatchWriter>,
    pub recipients: Arc<dyn Recipients>,
    pub leases: Arc<dyn Leases>,
    pub retries: Arc<dyn RetryQueue>,
    pub dead_letters: Arc<dyn DeadLetters>,
    pub prices: Arc<dyn CurrentPrices>,
    pub outbox: Arc<dyn NotificationReader>,
}

/// What the stores say of themselves.
pub trait Health: Send + Sync {
    /// Why they do not work, or somebody should look.
    fn reasons(&self) -> Vec<Reason>;

    /// Shows what they count, and what they say of themselves, in a registry.
    fn register_metrics(&self, registry: &mut Registry);
}
