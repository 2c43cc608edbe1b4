//! Every limit of the embedded adapters with its default, in one place.

/// Size of the cache of disk blocks, in bytes.
pub const CACHE_BYTES: u64 = 64 << 20;
/// Files of tables that are kept open.
pub const TABLE_FILES: usize = 900;
/// Size of all journals together, in bytes. Past it, the keyspaces that still need the oldest
/// journal write their rows to tables.
pub const JOURNAL_BYTES: u64 = 128 << 20;
/// Size of the rows of one keyspace in memory before they are written to a table, in bytes.
pub const MEMTABLE_BYTES: u64 = 16 << 20;
/// Threads that write and merge tables.
pub const WORKER_THREADS: usize = 2;
/// Writes queued for the writer.
pub const WRITES_WAITING: usize = 4096;
/// Rows after which a group takes no further write. A single write may have more.
pub const GROUP_ROWS: usize = 20_000;
/// How often an idle store is checked, in milliseconds.
pub const CHECK_MS: u64 = 500;
/// First pause before a failed store is opened again, in milliseconds; doubled up to
/// `HEAL_LAST_MS`.
pub const HEAL_FIRST_MS: u64 = 50;
/// Longest pause before a failed store is opened again, in milliseconds.
pub const HEAL_LAST_MS: u64 = 2_000;
/// Bytes that must be writable beside a failed store before it is opened again.
pub const HEAL_BYTES: usize = 4 << 20;
/// How long writes wait for background work of the database before they fail, in milliseconds.
pub const CONGESTED_MS: u64 = 10_000;

/// A product with more watches than this is read by bucket.
pub const BUCKET_THRESHOLD: u64 = 10_000;
/// Rows of one step of background work.
pub const STEP_ROWS: usize = 4096;

/// Records that wait for the notifier. A post that finds fewer is accepted as a whole.
pub const INTAKE_RECORDS: usize = 20_000;
/// Bytes of records that wait for the notifier. A post that finds fewer is accepted as a whole.
pub const INTAKE_BYTES: usize = 32 << 20;
/// How long a post waits for room, in milliseconds.
pub const ADMISSION_TIMEOUT_MS: u64 = 5_000;
/// How long a post waits for its outcome, in milliseconds.
pub const RESPONSE_TIMEOUT_MS: u64 = 30_000;

/// Notifications of one row of the outbox.
pub const BLOCK_NOTIFICATIONS: usize = 4096;
/// Blocks deleted from the outbox in one step.
pub const PRUNE_BLOCKS: usize = 256;
/// How long the outbox keeps notifications, in milliseconds: seven days. Those not dispatched
/// stay longer.
pub const OUTBOX_RETENTION_MS: i64 = 7 * 24 * 60 * 60 * 1000;
/// How long a confirmation of a delivery is kept, in milliseconds: eight days.
pub const CONFIRMATION_MS: i64 = 8 * 24 * 60 * 60 * 1000;
/// How often old rows are searched and deleted, in milliseconds.
pub const PRUNE_MS: u64 = 60_000;
/// Records of one read for the archive.
pub const ARCHIVE_BATCH: usize = 4096;
/// Bytes after which one read of updates or dead letters for the archive ends.
pub const ARCHIVE_BATCH_BYTES: usize = 8 << 20;
/// Bytes of a dead letter's key or value that are kept; the rest is cut off.
pub const DEAD_TEXT_BYTES: usize = 64 << 10;

/// Products whose states are kept in memory.
pub const KNOWN_PRODUCTS: usize = 50_000;
