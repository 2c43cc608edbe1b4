//! Configures the embedded store.

use std::path::PathBuf;
use std::sync::Arc;

use pricedrop_model::Clock;
use pricedrop_model::time::SystemClock;

use crate::limits;
use crate::topics::ArchivedTopic;

/// Options of the embedded adapters.
#[derive(Clone)]
pub struct Options {
    /// The data folder. It is created if it does not exist.
    pub folder: PathBuf,
    /// The size of the cache of disk blocks, in bytes.
    pub cache_bytes: u64,
    /// How many files of tables are kept open.
    pub table_files: usize,
    /// A product with more watches than this is read by bucket.
    pub bucket_threshold: u64,
    /// How long the outbox keeps notifications, in milliseconds. Those not dispatched stay
    /// longer.
    pub outbox_retention_ms: i64,
    /// How long a confirmation of a delivery is kept, in milliseconds.
    pub confirmation_ms: i64,
    /// Records that may wait for the notifier.
    pub intake_records: usize,
    /// Bytes of records that may wait for the notifier.
    pub intake_bytes: usize,
    /// How long a post waits for room, in milliseconds.
    pub admission_timeout_ms: u64,
    /// How long a post waits for its outcome, in milliseconds.
    pub response_timeout_ms: u64,
    /// The topics that an archiver reads. Their records are kept until they are archived.
    pub archived: Vec<ArchivedTopic>,
    /// The source of wall time.
    pub clock: Arc<dyn Clock>,
}

/// What the database may keep in memory and open.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) cache_bytes: u64,
    pub(crate) table_files: usize,
}

impl Default for Sizes {
    fn default() -> Sizes {
        Sizes { cache_bytes: limits::CACHE_BYTES, table_files: limits::TABLE_FILES }
    }
}

impl Options {
    pub(crate) fn sizes(&self) -> Sizes {
        Sizes { cache_bytes: self.cache_bytes, table_files: self.table_files }
    }

    /// Returns the defaults for this folder.
    pub fn new(folder: impl Into<PathBuf>) -> Options {
        Options {
            folder: folder.into(),
            cache_bytes: limits::CACHE_BYTES,
            table_files: limits::TABLE_FILES,
            bucket_threshold: limits::BUCKET_THRESHOLD,
            outbox_retention_ms: limits::OUTBOX_RETENTION_MS,
            confirmation_ms: limits::CONFIRMATION_MS,
            intake_records: limits::INTAKE_RECORDS,
            intake_bytes: limits::INTAKE_BYTES,
            admission_timeout_ms: limits::ADMISSION_TIMEOUT_MS,
            response_timeout_ms: limits::RESPONSE_TIMEOUT_MS,
            archived: Vec::new(),
            clock: Arc::new(SystemClock),
        }
    }
}
