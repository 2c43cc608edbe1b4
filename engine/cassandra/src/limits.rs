//! Every limit of the Cassandra adapters with its default, in one place.

/// Rows of one page of a query.
pub const PAGE_ROWS: i32 = 5_000;
/// Requests on their way at once.
pub const IN_FLIGHT: usize = 128;
/// How long one request may take, milliseconds.
pub const REQUEST_MS: u64 = 2_000;
/// How long connecting may take, milliseconds.
pub const CONNECT_MS: u64 = 5_000;
/// How often a request is tried before its caller is told.
pub const ATTEMPTS: u32 = 4;
/// Pause before the second attempt, milliseconds; doubled with each.
pub const BACKOFF_FIRST_MS: u64 = 25;
/// Longest pause before an attempt, milliseconds.
pub const BACKOFF_LAST_MS: u64 = 500;

/// A product with more watches than this is read by bucket.
pub const BUCKET_THRESHOLD: u64 = 10_000;
/// Rows of a product or bucket that is cached as a whole; larger ones are read
/// straight from Cassandra.
pub const SHELF_ROWS: usize = 100_000;
/// Bytes of shelves that a view keeps; past it they are fetched again.
pub const VIEW_BYTES: usize = 16 << 20;
/// Most shards of a bucket: all of them are read side by side.
pub const SHARDS: u32 = 64;
/// Fewest rows of a page of one shard.
pub const SHARD_PAGE_ROWS: i32 = 250;
/// Buckets read ahead at once.
pub const BUCKETS_AHEAD: usize = 4;
/// Pages read ahead of each range.
pub const PAGES_AHEAD: usize = 1;
/// Products known to be large.
pub const LARGE_PRODUCTS: usize = 100_000;

/// A write is through within so many milliseconds, or written anew.
pub const IN_TIME_MS: i64 = 200;
/// Clocks of engines and nodes may differ by so many milliseconds.
pub const CLOCKS_MS: i64 = 100;
/// A view's wall time lies this far back, milliseconds: both may come together.
pub const WRITE_MARGIN_MS: i64 = IN_TIME_MS + CLOCKS_MS;
/// How often a write that was not in time, or of which the cache could not be
/// told, is written anew.
pub const REWRITES: u32 = 10;
/// What rows that look newer than they are have over what they need, milliseconds.
pub const AHEAD_SLACK_MS: u64 = 1_000;
/// Bytes of one batch, by estimate; Cassandra warns above 5 KiB by default and
/// refuses above 50 KiB.
pub const BATCH_BYTES: usize = 24 << 10;
/// Batches on their way at once: of one repair, and of all writes together. More
/// would only wait for each other, and then be too late.
pub const BATCHES: usize = 16;

/// After this long a view asks again whether its policy is still the active
/// one, milliseconds.
pub const POLICY_FRESH_MS: u64 = 5_000;
/// How long an index stays after another policy took over, milliseconds; longer
/// than any view relies on it.
pub const DROP_AFTER_MS: u64 = 60_000;
/// How often a change of the policy row is tried against others.
pub const POLICY_CHANGES: u32 = 16;
/// Products waiting for their index to be repaired.
pub const REPAIRS_WAITING: usize = 1_000;
/// Pause after a repair that failed, milliseconds.
pub const REPAIR_PAUSE_MS: u64 = 5_000;

/// Keys that a listing of all partitions keeps at once.
pub const LIST_KEYS: usize = 50_000;
/// Prices waiting to be shown; past it new products are left out.
pub const PRICES_WAITING: usize = 1_000_000;
/// Prices written at once.
pub const PRICES_AT_ONCE: usize = 64;
/// Pause after prices could not be written, milliseconds.
pub const PRICES_PAUSE_MS: u64 = 1_000;
/// Pause after they may not be written by us, milliseconds.
pub const PRICES_REFUSED_MS: u64 = 30_000;
/// Products whose reads are counted.
pub const HOT_PRODUCTS: usize = 256;
/// Most products shown as the most read ones.
pub const HOT_PRODUCTS_SHOWN: usize = 20;
/// How long a change of the schema may take, milliseconds.
pub const SCHEMA_MS: u64 = 30_000;
