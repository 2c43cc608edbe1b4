//! Every limit of the cache, the leases and the retries, with its default.

/// How long a shelf is cached, milliseconds.
pub const SHELF_TTL_MS: u64 = 300_000;
/// How long a mark stands at most, milliseconds: longer than any write of
/// watches and any fill may take.
pub const MARK_TTL_MS: u64 = 60_000;
/// How long a filler has to read the store, milliseconds.
pub const FILL_LEASE_MS: u64 = 15_000;
/// Largest shelf that is cached, bytes.
pub const SHELF_BYTES: usize = 32 * 1024 * 1024;
/// How long a confirmation is kept, milliseconds: longer than the longest
/// retry and the retention of the topic together.
pub const CONFIRMATION_TTL_MS: u64 = 14 * 24 * 3_600_000;

/// Most keys that one script goes through: the server does nothing else then.
pub(super) const SCRIPT_KEYS: usize = 1_000;
/// How many bytes of shelves come in one answer: those that are longer, or do
/// not fit in any more, are fetched by their length.
pub(super) const ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// So many bytes a millisecond come over a slow wire: large shelves have the
/// more time.
pub(super) const WIRE_BYTES_PER_MS: usize = 16 * 1024;
