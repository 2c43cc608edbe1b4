//! Every limit of the embedded adapters with its default, in one place.

/// Cache of blocks read, bytes.
pub const CACHE_BYTES: u64 = 64 << 20;
/// All journals together, bytes; past it the tables that hold the oldest one
/// back are written out.
pub const JOURNAL_BYTES: u64 = 128 << 20;
/// Rows of one kind kept in memory before they are written out, bytes.
pub const MEMTABLE_BYTES: u64 = 16 << 20;
/// Threads that write out and merge tables.
pub const WORKER_THREADS: usize = 2;
/// Writes waiting for the writer.
pub const WRITES_WAITING: usize = 4096;
/// Rows of one group of writes; a single write may have more.
pub const GROUP_ROWS: usize = 20_000;
/// How often an idle store is looked after, milliseconds.
pub const CHECK_MS: u64 = 500;
/// First pause before a failed store is opened again, milliseconds; doubled up
/// to the last.
pub const HEAL_FIRST_MS: u64 = 50;
/// Last pause before a failed store is opened again, milliseconds.
pub const HEAL_LAST_MS: u64 = 2_000;
/// A failed store is opened again once this much can be written beside it, bytes.
pub const HEAL_BYTES: usize = 4 << 20;
/// How long a write waits for background work before it answers, milliseconds.
pub const CONGESTED_MS: u64 = 10_000;

/// A product with more watches than this is read by bucket.
pub const BUCKET_THRESHOLD: u64 = 10_000;
/// Rows of one step of building or deleting an index, and of one step of
/// removing told watches.
pub const STEP_ROWS: usize = 4096;

/// Records waiting to be taken by the notifier; a post that finds fewer is
/// taken whole.
pub const INTAKE_RECORDS: usize = 20_000;
/// Bytes of records waiting to be taken by the notifier.
pub const INTAKE_BYTES: usize = 32 << 20;
/// How long a post waits for room, milliseconds.
pub const ADMISSION_TIMEOUT_MS: u64 = 5_000;
/// How long a post waits for its outcome, milliseconds.
pub const RESPONSE_TIMEOUT_MS: u64 = 30_000;

/// Notifications of one row of the outbox.
pub const BLOCK_NOTIFICATIONS: usize = 4096;
/// Blocks deleted from the outbox in one step.
pub const PRUNE_BLOCKS: usize = 256;
/// How long the outbox keeps notifications that were dispatched, milliseconds:
/// seven days.
pub const OUTBOX_RETENTION_MS: i64 = 7 * 24 * 60 * 60 * 1000;
/// How long a confirmation of a delivery is kept, milliseconds: eight days.
pub const CONFIRMATION_MS: i64 = 8 * 24 * 60 * 60 * 1000;
/// How often old rows are looked for, milliseconds.
pub const PRUNE_MS: u64 = 60_000;
/// Records of one read for the archive.
pub const ARCHIVE_BATCH: usize = 4096;
/// Bytes of one read for the archive; one record more than that is read.
pub const ARCHIVE_BATCH_BYTES: usize = 8 << 20;
/// Longest text of a dead letter's key or value, bytes; longer ones are cut.
pub const DEAD_TEXT_BYTES: usize = 64 << 10;

/// Products whose states are kept in memory beside the store.
pub const KNOWN_PRODUCTS: usize = 50_000;
