//! Every limit of the dispatcher with its default.

use pricedrop_model::{Currency, WallTime};
use serde::{Deserialize, Serialize};

/// Most further requests a channel may ask for within one attempt.
pub const FOLLOW_UPS: u32 = 3;
/// Most notifications between the first unfinished one and the last one read,
/// as a multiple of `window`: what one hanging delivery may hold back.
pub(super) const SPAN: usize = 64;
/// How often lanes are opened for channels that only have waiting retries, and
/// the waiting ones are counted, milliseconds.
pub(super) const SURVEY_MS: u64 = 5_000;
/// Most outcomes written in one go.
pub(super) const SETTLE: usize = 2_048;
/// Most replies classified in one plugin call.
pub(super) const CLASSIFY: usize = 64;
/// Pause before a store that is away is asked again, milliseconds.
pub(super) const STORE_PAUSE_MS: u64 = 200;
/// Longest reason that is kept with a retry or a dead letter, bytes.
pub(super) const REASON_BYTES: usize = 512;

/// How the dispatcher works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Where users are told who have no address of their own; their user name
    /// is the address.
    pub default_channels: Vec<String>,
    /// The currency of notifications that name none.
    pub currency: Currency,
    /// Whether the price is looked at again before a delayed send.
    pub recheck: bool,
    /// Most notifications read, claimed and rendered at a time.
    pub batch: usize,
    /// Most notifications that are read and not finished.
    pub window: usize,
    /// Most addresses of one user; further ones are left out and counted.
    pub addresses_per_user: usize,
    /// Most channels at a time.
    pub channels: usize,
    /// Most deliveries waiting in memory for one channel.
    pub channel_queue: usize,
    /// How long the others wait for a channel whose queue is full before its
    /// deliveries go to the retry queue, milliseconds.
    pub channel_queue_timeout_ms: u64,
    /// Most requests in flight for one channel, where its sidecar names none.
    pub concurrency: u32,
    /// A request's time limit, where the sidecar names none, milliseconds.
    pub timeout_ms: u64,
    /// Shortest lease on a delivery, milliseconds; channels with a longer time
    /// limit get a longer one.
    pub lease_ms: u64,
    /// Most attempts of a delivery; waiting for a breaker is none.
    pub max_attempts: u32,
    /// A delivery older than this is given up, milliseconds.
    pub max_age_ms: u64,
    /// The first backoff's upper end, milliseconds; it doubles with every attempt.
    pub backoff_initial_ms: u64,
    /// The longest backoff, milliseconds.
    pub backoff_max_ms: u64,
    /// The longest wait a provider may ask for, milliseconds.
    pub retry_after_max_ms: u64,
    /// This many failures of a provider in a row open its breaker.
    pub breaker_threshold: u32,
    /// How long an open breaker holds, milliseconds.
    pub breaker_reset_timeout_ms: u64,
    /// How long a read waits for notifications, and how often due retries are
    /// looked for, milliseconds.
    pub poll_ms: u64,
    /// Most plugin calls at a time.
    pub plugin_calls: usize,
    /// How long deliveries in flight may take to end at shutdown, milliseconds.
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
    /// Where the lease of a claim made now ends: behind every request of one
    /// attempt and the wait for a free connection.
    pub(super) fn lease_until(&self, now: WallTime, timeout_ms: u64) -> WallTime {
        let requests = timeout_ms.saturating_mul(u64::from(FOLLOW_UPS) + 2);
        later(now, self.lease_ms.max(requests))
    }
}

/// The time this many milliseconds later.
pub(super) fn later(now: WallTime, ms: u64) -> WallTime {
    WallTime(now.0.saturating_add(i64::try_from(ms).unwrap_or(i64::MAX)))
}
