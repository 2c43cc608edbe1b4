//! Limits of the model: the sizes of names, records, prices and product states. They are not
//! configurable. Other crates have a `limits.rs` of their own.

/// Longest product id or user id, in bytes.
pub const NAME_BYTES: usize = 256;
/// Longest value of an update record, in bytes. A longer one is a dead letter.
pub const UPDATE_BYTES: usize = 1 << 20;
/// Maximum number of decimals of a price.
pub const PRICE_SCALE: u32 = 9;
/// A price's digits without the point are below this (2^53), so that every plugin language
/// represents them exactly, JavaScript included.
pub const PRICE_UNITS: i128 = 1 << 53;
/// Maximum number of entries of a product's ledger.
pub const LEDGER_ENTRIES: usize = 128;
/// Maximum number of once-ranges of a product.
pub const ONCE_RANGES: usize = 16;
/// How long a once-range prevents its watches from firing again, in milliseconds: seven days.
pub const ONCE_RANGE_MS: i64 = 7 * 24 * 60 * 60 * 1000;
/// Maximum number of decimals of a hysteresis.
pub const HYSTERESIS_SCALE: u32 = 6;
/// Maximum number of bytes that a throttling plugin may store per product.
pub const THROTTLE_STATE_BYTES: usize = 1024;
/// Longest title or URL of an update, in bytes. A longer one is left out of the notification.
pub const ATTRIBUTE_BYTES: usize = 2048;
/// Earliest `occurredAt` and time of a watch, in epoch milliseconds: 2000-01-01. An earlier one is
/// probably in seconds.
pub const EARLIEST_MS: i64 = 946_684_800_000;
/// The time from which on an `occurredAt` is refused, in epoch milliseconds: 2200-01-01. A later one
/// is probably in microseconds.
pub const LATEST_MS: i64 = 7_258_118_400_000;
/// How far the time of an update may be ahead of the clocks before it is reported, in milliseconds:
/// one day.
pub const FUTURE_MS: i64 = 24 * 60 * 60 * 1000;
/// Longest name of a topic, in bytes. This is Kafka's limit.
pub const TOPIC_BYTES: usize = 249;
