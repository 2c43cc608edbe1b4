//! Implements every port on one machine, over one fjall database in the data folder.
//!
//! ```text
//! PriceIntake ─▶ EmbeddedSource ─▶ (notifier) ─▶ EmbeddedCommitter ─┐
//!                                     │                             ▼
//! watches, policies ◀── views ────────┘                    writer ─▶ batch, sync
//! leases, retries, dead letters, recipients ───────────────▲  │
//!                                                             ▼
//! OutboxReader ◀───────────── blocks of notifications ◀──── outbox
//! ```
//!
//! One thread (`writer`) makes all writes. It commits the queued ones as one synced batch. If a
//! batch fails, the store is closed. It is opened again for all adapters at once when the disk has
//! free space (`store_handle`, `reopen`).
//!
//! Invariant: no handle of the database is kept outside of a call, because the store could not be
//! opened again while one exists.

mod archive;
mod commit;
mod damage;
mod dead_letters;
mod derived;
mod error;
mod folder_lock;
mod index;
mod indexing;
mod intake;
mod keys;
mod leases;
pub mod limits;
mod maintenance;
mod metrics;
mod offsets;
mod options;
mod outbox;
mod policies;
mod prices;
mod recipients;
mod reopen;
mod retries;
mod rows;
pub mod salvage;
mod shared;
mod store;
mod store_handle;
mod tables;
mod topics;
mod txn;
mod view;
mod watch_clock;
mod watches;
mod work;
mod writer;

use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex};

use pricedrop_model::plugin::{NoPlugins, Plugins};
use pricedrop_model::sync::lock;
use pricedrop_model::{Notification, ports};
use tokio::sync::watch;

pub use archive::EmbeddedArchiveSource;
pub use commit::EmbeddedCommitter;
pub use damage::Finding;
pub use dead_letters::EmbeddedDeadLetters;
pub use error::Error;
pub use intake::{EmbeddedSource, PriceIntake};
pub use leases::EmbeddedLeases;
pub use options::Options;
pub use outbox::{EmbeddedNotifications, EmbeddedOutbox};
pub use policies::EmbeddedPolicies;
pub use prices::EmbeddedPrices;
pub use recipients::EmbeddedRecipients;
pub use retries::EmbeddedRetries;
pub use topics::{ArchivedTopic, INPUT_TOPIC, PARTITION};
pub use watches::EmbeddedWatches;

use folder_lock::lock_folder;
use shared::{Inner, Shared};
use store::OpenError;
use store_handle::StoreHandle;
use watch_clock::WatchClock;
use work::Work;
use writer::Writer;

impl Options {
    /// Opens the store, and creates it if it does not exist.
    ///
    /// # Errors
    /// The folder is in use or unusable, or its store cannot be opened.
    pub fn build(self) -> Result<Embedded, Error> {
        let folder = self.folder.clone();
        let lock = lock_folder(&folder)?;
        let store_error = |reason| Error::Store { folder: folder.clone(), reason };
        let store = StoreHandle::open(folder.clone(), self.sizes()).map_err(|error| match error {
            OpenError::Damaged(findings) => Error::Damaged { folder: folder.clone(), findings },
            other => store_error(other.into()),
        })?;
        let (store, watch_clock) = (Arc::new(store), Arc::new(WatchClock::new(self.clock.clone())));
        let start = store.read(|store| {
            watch_clock.start_after(txn::stored_times(store)?);
            archive::begin(store, &self.archived)?;
            Ok((archive::store_id(store)?, txn::stored_number(store, txn::NEXT_NOTIFICATION)?))
        });
        let (id, next_notification) = start.map_err(|error| store_error(error.into_cause()))?;
        let (writer, thread) = Writer::start(store.clone(), watch_clock.clone())
            .map_err(|source| Error::Folder { folder: folder.clone(), source })?;
        let shared = Shared {
            id,
            store,
            watch_clock,
            plugins: Mutex::new(Arc::new(NoPlugins)),
            written: watch::channel(next_notification).0,
            committed: AtomicI64::new(0),
            work: Work::default(),
            uncommitted: Mutex::new(None),
            migrating: Mutex::new(None),
            options: self,
        };
        let shared = Arc::new(shared);
        let maintenance = maintenance::start(shared.clone(), writer.clone())
            .map_err(|source| Error::Folder { folder, source })?;
        let inner = Inner { shared, writer: Some(writer), threads: vec![maintenance, thread], lock };
        Ok(Embedded(Arc::new(inner)))
    }
}

/// The embedded store, which creates the adapters of all ports. Clones share the store.
#[derive(Clone)]
pub struct Embedded(Arc<Inner>);

impl Embedded {
    /// Sets where plugins are taken from. Indexes by bucket are built with the plugin of the
    /// active policy.
    pub fn set_plugins(&self, plugins: Arc<dyn Plugins>) {
        *lock(&self.0.shared.plugins) = plugins;
        self.0.shared.work.rescan();
    }

    /// Returns the intake of prices, and the source from which the notifier reads them. Call it
    /// once.
    ///
    /// # Errors
    /// The store is unavailable; try again.
    pub fn source(&self) -> Result<(PriceIntake, EmbeddedSource), ports::Error> {
        intake::open(&self.0.shared)
    }

    /// Keeps the data folder locked until the process exits, even if the store is closed before. Work that
    /// a stop did not wait for may still be running then.
    ///
    /// # Errors
    /// The system has no descriptor left.
    pub fn lock_until_exit(&self) -> std::io::Result<()> {
        self.0.lock.try_clone().map(std::mem::forget)
    }

    /// Returns the adapter of the notifier's commits.
    pub fn committer(&self) -> EmbeddedCommitter {
        EmbeddedCommitter::new(self.0.clone())
    }

    /// Returns the adapter that reads and writes watches.
    pub fn watches(&self) -> EmbeddedWatches {
        EmbeddedWatches::new(self.0.clone())
    }

    /// Returns the adapter of dead letters.
    pub fn dead_letters(&self) -> EmbeddedDeadLetters {
        EmbeddedDeadLetters::new(self.0.clone())
    }

    /// Returns the adapter of current prices.
    pub fn prices(&self) -> EmbeddedPrices {
        EmbeddedPrices::new(self.0.clone())
    }

    /// Returns the adapter of bucketing policies: the active policy, and the migration to another.
    pub fn policies(&self) -> EmbeddedPolicies {
        EmbeddedPolicies::new(self.0.clone())
    }

    /// Returns the outbox as this dispatcher reads it, from its stored cursor on.
    pub fn notifications(&self, dispatcher: &str) -> EmbeddedNotifications {
        EmbeddedNotifications::new(self.0.clone(), dispatcher)
    }

    /// Returns the random id of this store, which stays the same as long as its folder exists.
    pub fn id(&self) -> &str {
        &self.0.shared.id
    }

    /// Returns a topic as the archiver reads it.
    pub fn archive_source(&self, topic: ArchivedTopic) -> EmbeddedArchiveSource {
        EmbeddedArchiveSource::new(self.0.clone(), topic)
    }

    /// Returns the outbox for the API, which shows notifications.
    pub fn outbox(&self) -> EmbeddedOutbox {
        EmbeddedOutbox::new(self.0.clone())
    }

    /// Returns the adapter that stores the addresses of users.
    pub fn recipients(&self) -> EmbeddedRecipients {
        EmbeddedRecipients::new(self.0.clone())
    }

    /// Returns the adapter of leases and confirmations of deliveries.
    pub fn leases(&self) -> EmbeddedLeases {
        EmbeddedLeases::new(self.0.clone())
    }

    /// Returns the queue of deliveries that wait for their next attempt.
    pub fn retries(&self) -> EmbeddedRetries {
        EmbeddedRetries::new(self.0.clone())
    }

    /// Reads notifications of the outbox from an offset on, at most `most`.
    ///
    /// # Errors
    /// The store is unavailable; try again.
    pub fn read_outbox(&self, from: i64, most: usize) -> Result<Vec<(i64, Notification)>, ports::Error> {
        self.0.shared.store.read(|store| outbox::read(store, from.max(0), most))
    }

    /// Returns the offset after the last notification of the outbox.
    pub fn outbox_end(&self) -> i64 {
        *self.0.shared.written.borrow()
    }

    /// Returns why nothing can be read or written now, or `None` if the store is open.
    pub fn down(&self) -> Option<String> {
        self.0.shared.store.down().map(|cause| cause.to_string())
    }

    /// Returns the damaged files that a read has met, or `None`.
    pub fn damaged(&self) -> Option<String> {
        self.0.shared.store.damaged().map(str::to_owned)
    }

    /// Returns the bytes on disk, journals included.
    ///
    /// # Errors
    /// The store is unavailable; try again.
    pub fn disk_bytes(&self) -> Result<u64, ports::Error> {
        self.0.shared.store.read(|store| Ok(store.disk_bytes()?))
    }
}
