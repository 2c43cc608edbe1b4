//! The adapters of an engine whose stores are all embedded, on the local disk.

use std::sync::Arc;

use async_trait::async_trait;
use pricedrop_embedded::{ArchivedTopic, Embedded};
use pricedrop_model::archive::ArchiveSource;
use pricedrop_model::health::{Reason, Severity};
use pricedrop_model::migration::PolicyMigration;
use pricedrop_model::plugin::Plugins;
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use super::adapters::{Dispatch, Health, Opened, SharedPorts, Stores, Worker};
use super::roles::RunRoles;
use crate::config::Config;
use crate::remedies::{SALVAGE, SEE_STORE};
use crate::report::CliError;
use crate::run::descriptors::Shares;

/// The name under which the dispatcher's position in the outbox is stored.
const DISPATCHER: &str = "dispatcher";

/// Opens the store.
///
/// # Errors
/// Another process has it open, or the disk fails.
pub fn open(config: &Config, roles: RunRoles) -> Result<Box<dyn Opened>, CliError> {
    Ok(Box::new(OnDisk { store: build(config)?, roles, archived: config.archived() }))
}

/// Opens the store, alone or together with servers.
///
/// # Errors
/// Another process has it open, or the disk fails.
pub fn build(config: &Config) -> Result<Embedded, CliError> {
    let mut options = config.embedded_options();
    options.table_files = Shares::claim().tables(options.table_files);
    let store = options.build().map_err(store_error)?;
    store.lock_until_exit()?;
    Ok(store)
}

/// Reports an error of the embedded store, with its remedy.
pub fn store_error(error: pricedrop_embedded::Error) -> CliError {
    let remedy = match &error {
        pricedrop_embedded::Error::InUse(_) => "stop the engine that runs there, or name another data.folder",
        pricedrop_embedded::Error::Folder { .. } => "make the folder writable, or name another data.folder",
        pricedrop_embedded::Error::Damaged { .. } => SALVAGE,
        pricedrop_embedded::Error::Store { .. } => {
            "free disk space or restore the folder; nothing was changed"
        }
    };
    CliError::failed(&error, remedy)
}

/// Returns the archive owner of an embedded store.
pub fn archive_owner(store: &Embedded) -> String {
    format!("embedded store {}", store.id())
}

/// Returns the port to the active policy of an embedded store.
pub fn policies(store: &Embedded) -> Arc<dyn PolicyMigration> {
    Arc::new(store.policies())
}

struct OnDisk {
    store: Embedded,
    roles: RunRoles,
    archived: Vec<ArchivedTopic>,
}

#[async_trait]
impl Opened for OnDisk {
    fn policies(&self) -> Arc<dyn PolicyMigration> {
        policies(&self.store)
    }

    fn archive_owner(&self) -> String {
        archive_owner(&self.store)
    }

    async fn build(self: Box<Self>, plugins: Arc<dyn Plugins>) -> Result<Stores, CliError> {
        let OnDisk { store, roles, archived } = *self;
        store.set_plugins(plugins);
        let (intake, source) = store.source().map_err(|error| CliError::failed(error, SEE_STORE))?;
        let worker = Worker { source: Box::new(source), committer: Box::new(store.committer()) };
        // The notifier ends with its input, not by a signal, so that posted prices are processed first.
        let (keep_open, stop_workers) = watch::channel(false);
        let closed = intake.clone();
        let read = |topic| -> Box<dyn ArchiveSource> { Box::new(store.archive_source(topic)) };
        let archive = archived.into_iter().map(read).collect();
        Ok(Stores {
            workers: vec![worker],
            watches: Arc::new(store.watches()),
            stop_workers,
            end_input: Box::new(move || {
                closed.close();
                drop(keep_open);
            }),
            archive,
            dispatch: roles.dispatcher.then(|| Dispatch { log: Box::new(store.notifications(DISPATCHER)) }),
            ports: SharedPorts {
                intake: Arc::new(intake.clone()),
                watches: Arc::new(store.watches()),
                recipients: Arc::new(store.recipients()),
                leases: Arc::new(store.leases()),
                retries: Arc::new(store.retries()),
                dead_letters: Arc::new(store.dead_letters()),
                prices: Arc::new(store.prices()),
                outbox: Arc::new(store.outbox()),
            },
            health: Arc::new(Disk { store, intake }),
        })
    }
}

/// The health of an embedded store.
struct Disk {
    store: Embedded,
    intake: pricedrop_embedded::PriceIntake,
}

impl Health for Disk {
    fn reasons(&self) -> Vec<Reason> {
        let damaged = self.store.damaged().map(|findings| format!("damaged files: {findings}; {SALVAGE}"));
        let reasons = self.store.down().into_iter().chain(damaged);
        reasons.map(|reason| Reason { part: "store".into(), severity: Severity::Error, reason }).collect()
    }

    fn register_metrics(&self, registry: &mut Registry) {
        self.store.register_metrics(&self.intake, registry);
    }
}
