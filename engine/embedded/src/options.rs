//! How the embedded store runs.

use std::path::PathBuf;
use std::sync::Arc;

use pricedrop_model::Clock;
use pricedrop_model::time::SystemClock;

use crate::limits;
use crate::topics::ArchivedTopic;

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
    /// What an archiver reads of it: it is kept until then.
    pub archived: Vec<ArchivedTopic>,
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
            archived: Vec::new(),
            clock: Arc::new(SystemClock),
        }
    }
}
