//! The dispatcher's options and constants: every limit, with its default.

use pricedrop_model::{Currency, WallTime};
use serde::{Deserialize, Serialize};

/// Maximum number of follow-up requests of a plugin within one attempt.
pub const FOLLOW_UPS: u32 = 3;
/// Maximum number of notifications from the first unfinished one to the last one read, as a
/// multiple of `window`. It limits how far reading continues while one delivery is unfinished.
pub(super) const SPAN_FACTOR: usize = 64;
/// How often waiting retries are counted, and workers are started for channels that have only
/// retries, milliseconds.
pub(super) const WAITING_POLL_MS: u64 = 5_000;
/// Maximum number of outcomes stored in one batch.
pub(super) const OUTCOME_BATCH: usize = 2_048;
/// Maximum number of replies classified in one plugin call.
pub(super) const CLASSIFY_BATCH: usize = 64;
/// Pause before an unavailable store is asked again, milliseconds.
pub(super) const STORE_PAUSE_MS: u64 = 200;
/// Longest reason that is stored with a retry, bytes.
pub(super) const REASON_BYTES: usize = 512;

/// Options of the dispatcher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Channels for users who have no address; the user name is the address.
    pub default_channels: Vec<String>,
    /// The currency of notifications without one.
    pub currency: Currency,
    /// Whether a delivery from the retry queue is dropped if the price rose above its watch.
    pub recheck: bool,
    /// Maximum number of notifications read at a time, and of deliveries of a channel claimed and rendered at
    /// a time.
    pub batch: usize,
    /// Maximum number of notifications that are read and unfinished.
    pub window: usize,
    /// Maximum number of addresses of one user; further ones are ignored and counted.
    pub addresses_per_user: usize,
    /// Maximum number of channels; deliveries of further channels become dead letters.
    pub channels: usize,
    /// A channel's queue in memory is full when it has this many deliveries.
    pub channel_queue: usize,
    /// How long reading waits for room in a full queue before that channel's deliveries go to the
    /// retry queue, milliseconds.
    pub channel_queue_timeout_ms: u64,
    /// Maximum number of requests in flight for one channel, unless its sidecar sets another limit.
    pub concurrency: u32,
    /// Timeout of a request, unless the channel's sidecar sets another one, milliseconds.
    pub timeout_ms: u64,
    /// Shortest lease on a delivery, milliseconds; a channel with a long timeout gets a longer one.
    pub lease_ms: u64,
    /// Maximum number of attempts of a delivery; waiting for a breaker or a lease does not count as one.
    pub max_attempts: u32,
    /// Age at which a delivery becomes a dead letter instead of a retry, milliseconds.
    pub max_age_ms: u64,
    /// Upper bound of the first backoff, milliseconds; it doubles with every attempt.
    pub backoff_initial_ms: u64,
    /// Upper bound of every backoff, milliseconds.
    pub backoff_max_ms: u64,
    /// Upper bound of a wait that a provider asks for with `Retry-After`, milliseconds.
    pub retry_after_max_ms: u64,
    /// Consecutive failures of a provider that open its breaker.
    pub breaker_threshold: u32,
    /// How long a breaker stays open before it lets one request through, milliseconds.
    pub breaker_reset_timeout_ms: u64,
    /// How long a read waits for notifications, and how often the retry queue is polled,
    /// milliseconds.
    pub poll_ms: u64,
    /// Maximum number of concurrent plugin calls.
    pub plugin_calls: usize,
    /// How long shutdown waits for deliveries in flight, milliseconds.
    pub drain_timeout_ms: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            default_channels: vec!["channel-console".into()],
            currency: Currency::USD,
            recheck: true,
            batch: 512,
            window: 16_384,
            addresses_per_user: 16,
            channels: 64,
            channel_queue: 4_096,
            channel_queue_timeout_ms: 1_000,
            concurrency: 64,
            timeout_ms: 10_000,
            lease_ms: 60_000,
            max_attempts: 15,
            max_age_ms: 24 * 60 * 60 * 1000,
            backoff_initial_ms: 1_000,
            backoff_max_ms: 600_000,
            retry_after_max_ms: 3_600_000,
            breaker_threshold: 8,
            breaker_reset_timeout_ms: 10_000,
            poll_ms: 200,
            plugin_calls: 4,
            drain_timeout_ms: 20_000,
        }
    }
}

impl Options {
    /// Returns when the lease of a claim made now ends: after `lease_ms`, or after the timeouts of
    /// all requests of one attempt and one more for the wait before the first request, whichever is
    /// longer.
    pub(super) fn lease_until(&self, now: WallTime, timeout_ms: u64) -> WallTime {
        let requests = timeout_ms.saturating_mul(u64::from(FOLLOW_UPS) + 2);
        later(now, self.lease_ms.max(requests))
    }
}

/// The time `ms` milliseconds after `now`.
pub(super) fn later(now: WallTime, ms: u64) -> WallTime {
    WallTime(now.0.saturating_add(i64::try_from(ms).unwrap_or(i64::MAX)))
}
