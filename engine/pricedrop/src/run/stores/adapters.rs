//! The set of adapters that a running engine uses: one for every port.

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

use crate::report::CliError;

/// Opened stores, before plugins are loaded.
#[async_trait]
pub trait Opened: Send {
    /// Returns the port to the active policy, which is needed for loading plugins.
    fn policies(&self) -> Arc<dyn PolicyMigration>;

    /// Returns the owner that is recorded in the archive: an archive belongs to one log.
    fn archive_owner(&self) -> String;

    /// Builds the adapters of every port.
    ///
    /// # Errors
    /// A store refuses to be used.
    async fn build(self: Box<Self>, plugins: Arc<dyn Plugins>) -> Result<Stores, CliError>;
}

/// The adapters of every port.
pub struct Stores {
    /// The input and commits of each notifier; empty if this process has no notifier.
    pub workers: Vec<Worker>,
    /// The watches that notifiers read.
    pub watches: Arc<dyn WatchStore>,
    /// Becomes true when notifiers are to finish their commits and stop.
    pub stop_workers: watch::Receiver<bool>,
    /// Closes the input; updates that it has accepted are still processed.
    pub end_input: Box<dyn FnOnce() + Send>,
    /// The sources of the archiver; empty if this process has no archiver.
    pub archive: Vec<Box<dyn ArchiveSource>>,
    /// The log of the dispatcher; `None` if this process has no dispatcher.
    pub dispatch: Option<Dispatch>,
    /// The ports that the API and the dispatcher share.
    pub ports: SharedPorts,
    /// The health of the stores.
    pub health: Arc<dyn Health>,
}

/// The input and the commits of one notifier.
pub struct Worker {
    /// Reads updates.
    pub source: Box<dyn UpdateSource>,
    /// Writes commits.
    pub committer: Box<dyn Committer>,
}

/// The ports that only the dispatcher uses.
pub struct Dispatch {
    /// The notifications to deliver.
    pub log: Box<dyn NotificationLog>,
}

/// The ports that the API and the dispatcher share.
#[derive(Clone)]
#[allow(missing_docs)]
pub struct SharedPorts {
    pub intake: Arc<dyn PriceIntake>,
    pub watches: Arc<dyn WatchWriter>,
    pub recipients: Arc<dyn Recipients>,
    pub leases: Arc<dyn Leases>,
    pub retries: Arc<dyn RetryQueue>,
    pub dead_letters: Arc<dyn DeadLetters>,
    pub prices: Arc<dyn CurrentPrices>,
    pub outbox: Arc<dyn NotificationReader>,
}

/// The health and metrics of the stores.
pub trait Health: Send + Sync {
    /// Returns the current errors and warnings.
    fn reasons(&self) -> Vec<Reason>;

    /// Registers the metrics of the stores.
    fn register_metrics(&self, registry: &mut Registry);
}
