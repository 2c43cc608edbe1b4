//! The limits of the cache, the leases and the retries, with their defaults.

/// Time to live of a cache entry, milliseconds.
pub const CACHE_TTL_MS: u64 = 300_000;
/// Time to live of a mark, milliseconds: longer than any write of watches and any fill takes.
pub const MARK_TTL_MS: u64 = 60_000;
/// Time to live of a fill lease, milliseconds: how long a reader may take to fill a cache entry.
pub const FILL_LEASE_MS: u64 = 15_000;
/// Largest cache entry, bytes.
pub const ENTRY_BYTES: usize = 32 * 1024 * 1024;
/// Time to live of a confirmation, milliseconds: longer than the longest retry and the retention of
/// the topic together.
pub const CONFIRMATION_TTL_MS: u64 = 14 * 24 * 3_600_000;

/// Maximum number of keys in one script: the server does nothing else while it runs.
pub(super) const SCRIPT_KEYS: usize = 1_000;
/// Maximum number of bytes of cache entries in one answer of the script. Entries that are larger, or do not fit
/// any more, are fetched by `MGET` instead.
pub(super) const ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// Bytes per millisecond of a slow network. The timeout of large entries grows by it.
pub(super) const WIRE_BYTES_PER_MS: usize = 16 * 1024;
