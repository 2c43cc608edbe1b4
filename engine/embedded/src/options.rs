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

impl Options {
    /// Returns the defaults for this folder.
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
            archived: Vec::new(),
            clock: Arc::new(SystemClock),
        }
    }
}
