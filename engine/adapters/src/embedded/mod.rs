//! Every seam on one machine, over one fjall database in the data folder.
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
//! All writes go through one thread (`writer`), which commits what waits as one
//! synced batch. A batch that fails closes the store; it is opened again from
//! disk as soon as there is room, under all adapters at once (`slot`).
//!
//! Invariant: no handle of the database is kept outside of a call, or the
//! store could not be opened again.

mod commit;
mod dead_letters;
mod heal;
mod index;
mod indexing;
mod intake;
mod keeper;
mod keys;
mod leases;
pub mod limits;
mod outbox;
mod policies;
mod prices;
mod recipients;
mod retries;
mod rows;
mod slot;
mod store;
mod times;
mod txn;
mod view;
mod watches;
mod writer;

use std::fs::{self, File, TryLockError};
use std::path::PathBuf;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use pricedrop_model::plugin::{Bucketing, NoPlugins, Plugins};
use pricedrop_model::time::SystemClock;
use pricedrop_model::{Clock, Notification, seams};
use tokio::sync::watch;

pub use crate::moving::Progress;
pub use commit::EmbeddedCommitter;
pub use dead_letters::EmbeddedDeadLetters;
pub use intake::{EmbeddedSource, PARTITION, PostError, Posted, PostedRecord, PriceIntake};
pub use leases::EmbeddedLeases;
pub use outbox::EmbeddedNotifications;
pub use policies::EmbeddedPolicies;
pub use prices::EmbeddedPrices;
pub use recipients::EmbeddedRecipients;
pub use retries::EmbeddedRetries;
pub use watches::EmbeddedWatches;

use slot::Slot;
use times::Times;
use writer::Writer;

/// The topic that notifications of embedded updates name as their source.
pub const INPUT_TOPIC: &str = "price_updates";

/// Why the store does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Stop the other process, or name another folder.
    #[error("the data folder {} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// Make the folder writable, or name another one.
    #[error("the data folder {} cannot be used: {source}", .folder.display())]
    Folder {
        /// The data folder.
        folder: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Free the disk or restore the folder; nothing was changed.
    #[error("the store in {} cannot be opened: {reason}", .folder.display())]
    Store {
        /// The data folder.
        folder: PathBuf,
        /// What the database said.
        reason: String,
    },
}

/// Stored bytes that are not as they were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Broken(pub(crate) String);

impl From<Broken> for seams::Error {
    fn from(error: Broken) -> Self {
        seams::Error::Broken(error.0)
    }
}

/// How the embedded adapters run.
#[derive(Clone)]
pub struct Options {
    /// The data folder; made when missing.
    pub folder: PathBuf,
    /// Cache of blocks read, bytes.
    pub cache_bytes: u64,
    /// A product with more watches than this is read by bucket.
    pub bucket_threshold: u64,
    /// How long the outbox keeps notifications that were dispatched, milliseconds.
    pub outbox_retention_ms: i64,
    /// How long a confirmation of a delivery is kept, milliseconds.
    pub confirmation_ms: i64,
    /// Records that may wait for the notifier.
    pub intake_records: usize,
    /// Bytes of records that may wait for the notifier.
    pub intake_bytes: usize,
    /// How long a post waits for room, milliseconds.
    pub admission_timeout_ms: u64,
    /// How long a post waits for its outcome, milliseconds.
    pub response_timeout_ms: u64,
    /// Where wall time comes from.
    pub clock: Arc<dyn Clock>,
}

impl Options {
    /// The defaults, in this folder.
    pub fn new(folder: impl Into<PathBuf>) -> Options {
        Options {
            folder: folder.into(),
            cache_bytes: limits::CACHE_BYTES,
            bucket_threshold: limits::BUCKET_THRESHOLD,
            outbox_retention_ms: limits::OUTBOX_RETENTION_MS,
            confirmation_ms: limits::CONFIRMATION_MS,
            intake_records: limits::INTAKE_RECORDS,
            intake_bytes: limits::INTAKE_BYTES,
            admission_timeout_ms: limits::ADMISSION_TIMEOUT_MS,
            response_timeout_ms: limits::RESPONSE_TIMEOUT_MS,
            clock: Arc::new(SystemClock),
        }
    }

    /// Opens the store, or makes it.
    ///
    /// # Errors
    /// The folder is in use or unusable, or its store does not open.
    pub fn build(self) -> Result<Embedded, Error> {
        let folder = self.folder.clone();
        let lock = lock_folder(&folder)?;
        let store_error = |reason| Error::Store { folder: folder.clone(), reason };
        let slot = Slot::open(folder.clone(), self.cache_bytes)
            .map_err(|error| store_error(store::reason(&error)))?;
        let (slot, times) = (Arc::new(slot), Arc::new(Times::new(self.clock.clone())));
        let start = slot.read(|store| {
            times.start_behind(txn::stored_times(store)?);
            txn::stored_number(store, txn::NEXT_NOTIFICATION)
        });
        let next_notification = start.map_err(|error| store_error(error.to_string()))?;
        let (writer, thread) = Writer::start(slot.clone(), times.clone())
            .map_err(|source| Error::Folder { folder: folder.clone(), source })?;
        let shared = Shared {
            slot,
            times,
            plugins: Mutex::new(Arc::new(NoPlugins)),
            written: watch::channel(next_notification).0,
            committed: AtomicI64::new(0),
            work: keeper::Work::default(),
            migrating: Mutex::new(None),
            options: self,
        };
        let shared = Arc::new(shared);
        let keeper = keeper::start(shared.clone(), writer.clone())
            .map_err(|source| Error::Folder { folder, source })?;
        let inner = Inner { shared, writer: Some(writer), threads: vec![keeper, thread], _lock: lock };
        Ok(Embedded(Arc::new(inner)))
    }
}

fn lock_folder(folder: &std::path::Path) -> Result<File, Error> {
    let refuse = |source| Error::Folder { folder: folder.into(), source };
    fs::create_dir_all(folder).map_err(refuse)?;
    let path = folder.join("lock");
    let file = File::options().create(true).truncate(false).write(true).open(path).map_err(refuse)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::InUse(folder.into())),
        Err(TryLockError::Error(source)) => Err(refuse(source)),
    }
}

/// What all adapters and the writer's jobs share; holds no handle of the
/// writer, so that a job may keep it.
pub(crate) struct Shared {
    slot: Arc<Slot>,
    times: Arc<Times>,
    plugins: Mutex<Arc<dyn Plugins>>,
    /// The offset behind the last notification written.
    written: watch::Sender<i64>,
    /// The committed offset of the input.
    committed: AtomicI64,
    work: keeper::Work,
    /// A policy that indexes are being moved to.
    migrating: Mutex<Option<Arc<dyn Bucketing>>>,
    options: Options,
}

impl Shared {
    fn plugins(&self) -> Arc<dyn Plugins> {
        self.plugins.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The policy that indexes are being moved to.
    fn migrating(&self) -> Option<Arc<dyn Bucketing>> {
        self.migrating.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells readers of the outbox how far it goes.
    fn announce(&self, next_notification: i64) {
        self.written.send_if_modified(|next| {
            let grows = next_notification > *next;
            *next = next_notification.max(*next);
            grows
        });
    }
}

/// The embedded store; hands out the adapters of every seam. Clones share it.
#[derive(Clone)]
pub struct Embedded(Arc<Inner>);

struct Inner {
    writer: Option<Writer>,
    shared: Arc<Shared>,
    /// The keeper, then the writer it writes through.
    threads: Vec<JoinHandle<()>>,
    _lock: File,
}

impl Inner {
    fn writer(&self) -> &Writer {
        self.writer.as_ref().expect("only dropping takes the writer")
    }
}

/// Ends the threads and waits for them: then the store is closed and the folder
/// free.
impl Drop for Inner {
    fn drop(&mut self) {
        self.writer.take();
        self.shared.work.stop();
        for thread in self.threads.drain(..) {
            // One that panicked has nothing left to finish.
            let _ = thread.join();
        }
    }
}

impl Embedded {
    /// Tells it where to take plugins from: the bucket indexes follow the
    /// active policy.
    pub fn set_plugins(&self, plugins: Arc<dyn Plugins>) {
        *self.0.shared.plugins.lock().unwrap_or_else(PoisonError::into_inner) = plugins;
        self.0.shared.work.rescan();
    }

    /// Where prices come in, and where the notifier takes them. Once.
    ///
    /// # Errors
    /// The store is away; try again.
    pub fn source(&self) -> Result<(PriceIntake, EmbeddedSource), seams::Error> {
        intake::open(&self.0.shared)
    }

    /// The notifier's commits.
    pub fn committer(&self) -> EmbeddedCommitter {
        EmbeddedCommitter::new(self.0.clone())
    }

    /// Watches, read and written.
    pub fn watches(&self) -> EmbeddedWatches {
        EmbeddedWatches::new(self.0.clone())
    }

    /// The dead letters.
    pub fn dead_letters(&self) -> EmbeddedDeadLetters {
        EmbeddedDeadLetters::new(self.0.clone())
    }

    /// Current prices.
    pub fn prices(&self) -> EmbeddedPrices {
        EmbeddedPrices::new(self.0.clone())
    }

    /// Which policy's buckets are served, and the move to another one.
    pub fn policies(&self) -> EmbeddedPolicies {
        EmbeddedPolicies::new(self.0.clone())
    }

    /// The outbox as this dispatcher reads it, from where it was last.
    pub fn notifications(&self, dispatcher: &str) -> EmbeddedNotifications {
        EmbeddedNotifications::new(self.0.clone(), dispatcher)
    }

    /// Where users can be reached.
    pub fn recipients(&self) -> EmbeddedRecipients {
        EmbeddedRecipients::new(self.0.clone())
    }

    /// Leases and confirmations of deliveries.
    pub fn leases(&self) -> EmbeddedLeases {
        EmbeddedLeases::new(self.0.clone())
    }

    /// Deliveries waiting for their next attempt.
    pub fn retries(&self) -> EmbeddedRetries {
        EmbeddedRetries::new(self.0.clone())
    }

    /// Notifications of the outbox from an offset on, at most so many.
    ///
    /// # Errors
    /// The store is away; try again.
    pub fn read_outbox(&self, from: i64, most: usize) -> Result<Vec<(i64, Notification)>, seams::Error> {
        self.0.shared.slot.read(|store| outbox::read(store, from.max(0), most))
    }

    /// Appends notifications of the outbox from an offset on as JSON lines, at
    /// most so many; the offset behind them.
    ///
    /// # Errors
    /// The store is away; try again.
    pub fn render_outbox(&self, from: i64, most: usize, out: &mut Vec<u8>) -> Result<i64, seams::Error> {
        self.0.shared.slot.read(|store| outbox::render(store, from.max(0), most, out))
    }

    /// The offset behind the last notification of the outbox.
    pub fn outbox_end(&self) -> i64 {
        *self.0.shared.written.borrow()
    }

    /// Why nothing can be written or read just now, when that is so.
    pub fn down(&self) -> Option<String> {
        self.0.shared.slot.down()
    }

    /// Bytes on disk, journals included.
    ///
    /// # Errors
    /// The store is away; try again.
    pub fn disk_bytes(&self) -> Result<u64, seams::Error> {
        self.0.shared.slot.read(|store| Ok(store.disk_bytes()?))
    }
}
