//! Every limit of the Cassandra adapters with its default, in one place.

/// Rows of one page of a query.
pub const PAGE_ROWS: i32 = 5_000;
/// Requests in progress at once.
pub const IN_FLIGHT: usize = 128;
/// Timeout of one attempt of a request, in milliseconds.
pub const REQUEST_MS: u64 = 2_000;
/// Timeout of opening a session, in milliseconds.
pub const CONNECT_MS: u64 = 5_000;
/// Attempts of one request before its caller gets the error.
pub const ATTEMPTS: u32 = 4;
/// Pause before the second attempt, in milliseconds; doubled with each attempt.
pub const BACKOFF_FIRST_MS: u64 = 25;
/// Longest pause before an attempt, in milliseconds.
pub const BACKOFF_LAST_MS: u64 = 500;

/// A product with more watches than this is read by bucket.
pub const BUCKET_THRESHOLD: u64 = 10_000;
/// Rows of the largest product or bucket that is cached as a whole; larger ones are read straight
/// from Cassandra.
pub const SNAPSHOT_ROWS: usize = 100_000;
/// Bytes of cache entries that a view keeps; past that they are fetched again.
pub const VIEW_BYTES: usize = 16 << 20;
/// Maximum number of shards of a bucket. All of them are read in parallel.
pub const SHARDS: u32 = 64;
/// Fewest rows in a page of one shard.
pub const SHARD_PAGE_ROWS: i32 = 250;
/// Buckets read ahead at once.
pub const BUCKETS_AHEAD: usize = 4;
/// Pages read ahead of each range.
pub const PAGES_AHEAD: usize = 1;
/// Products remembered as large.
pub const LARGE_PRODUCTS: usize = 100_000;

/// A write that takes longer than this, in milliseconds, is repeated.
pub const IN_TIME_MS: i64 = 200;
/// How much the clocks of engines and nodes may differ, in milliseconds.
pub const CLOCKS_MS: i64 = 100;
/// How far a view's wall time is before its clock, in milliseconds.
pub const WRITE_MARGIN_MS: i64 = IN_TIME_MS + CLOCKS_MS;
/// Attempts of one write. It is repeated if it was too slow, if the cache could not be informed,
/// or if the policy changed.
pub const REWRITES: u32 = 10;
/// How much further than needed the `updated_at` of rows that a cache may hide is moved into the
/// future, in milliseconds.
pub const AHEAD_SLACK_MS: u64 = 1_000;
/// Estimated bytes of one batch. Cassandra warns above 5 KiB by default and refuses above 50 KiB.
pub const BATCH_BYTES: usize = 24 << 10;
/// Batches in progress at once: of one repair, and of all writes together. More would only wait
/// for each other, and then take too long.
pub const BATCHES: usize = 16;

/// How long a view relies on the policy row that it read, in milliseconds.
pub const POLICY_FRESH_MS: u64 = 5_000;
/// How long an index is kept after another one became active, in milliseconds; longer than any
/// view relies on it.
pub const DROP_AFTER_MS: u64 = 60_000;
/// Attempts to change the policy row, which concurrent changes can defeat.
pub const POLICY_CHANGES: u32 = 16;
/// Products waiting for their index to be repaired.
pub const REPAIRS_WAITING: usize = 1_000;
/// Pause after a failed repair, in milliseconds.
pub const REPAIR_PAUSE_MS: u64 = 5_000;

/// Keys that a listing over all partitions keeps in memory.
pub const LIST_KEYS: usize = 50_000;
/// Prices waiting to be written; past that, prices of new products are dropped.
pub const PRICES_WAITING: usize = 1_000_000;
/// Prices written at once.
pub const PRICES_AT_ONCE: usize = 64;
/// Pause after a failed write of prices, in milliseconds.
pub const PRICES_PAUSE_MS: u64 = 1_000;
/// Pause after an error of writing prices that an operator has to correct, in milliseconds.
pub const PRICES_REFUSED_MS: u64 = 30_000;
/// Products whose reads are counted.
pub const HOT_PRODUCTS: usize = 256;
/// Products shown as the most read ones, at most.
pub const HOT_PRODUCTS_SHOWN: usize = 20;
/// Timeout of a schema change, in milliseconds.
pub const SCHEMA_MS: u64 = 30_000;
