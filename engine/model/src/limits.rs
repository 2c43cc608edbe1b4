//! Every limit of the core with its default, in one place. Configurable ones
//! are named as in the configuration file.

/// Longest product or user name, bytes.
pub const NAME_BYTES: usize = 256;
/// Longest update record, bytes; a longer one is a dead letter.
pub const UPDATE_BYTES: usize = 1 << 20;
/// Most decimals of a price.
pub const PRICE_SCALE: u32 = 9;
/// A price's digits without the point stay below this, 2^53, so that they are
/// exact in every plugin language, JavaScript included.
pub const PRICE_UNITS: i128 = 1 << 53;
/// Most entries of a product's ledger of told prices.
pub const LEDGER_ENTRIES: usize = 128;
/// Most once-ranges of a product.
pub const ONCE_RANGES: usize = 16;
/// How long a once-range keeps its watches silent, milliseconds: seven days.
pub const ONCE_RANGE_MS: i64 = 7 * 24 * 60 * 60 * 1000;
/// Most decimals of a hysteresis.
pub const HYSTERESIS_SCALE: u32 = 6;
/// Longest bytes a throttling plugin may keep per product.
pub const THROTTLE_STATE_BYTES: usize = 1024;
/// Longest title or URL carried along with an update, bytes; longer ones are
/// left out of the notification.
pub const ATTRIBUTE_BYTES: usize = 2048;
/// Longest name of a topic, bytes; Kafka's limit.
pub const TOPIC_BYTES: usize = 249;
