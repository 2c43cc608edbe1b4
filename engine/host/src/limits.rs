//! Every limit of the host with its default, in one place. The first ones may
//! be changed in the configuration and, for one plugin, in its sidecar.

use pricedrop_model::limits::THROTTLE_STATE_BYTES;
use serde::Deserialize;

/// The limits of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// CPU time of one call, milliseconds.
    pub cpu_ms: u64,
    /// CPU time of instantiating and configuring together, milliseconds.
    pub start_cpu_ms: u64,
    /// Memories and tables of one instance, summed, bytes.
    pub memory_bytes: usize,
    /// What one call may hand to the host, bytes.
    pub output_bytes: usize,
    /// What a throttling plugin may keep per product, bytes; at most the engine's own limit.
    pub state_bytes: usize,
    /// Lines into the log a second; a burst may be five times as much.
    pub log_lines_per_second: u32,
    /// Calls after which an instance is replaced by a fresh one.
    pub calls_per_instance: u64,
    /// Longest `.wasm` file, bytes: what is compiled at most.
    pub wasm_bytes: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            cpu_ms: 200,
            start_cpu_ms: 2_000,
            memory_bytes: 64 << 20,
            output_bytes: 16 << 20,
            state_bytes: THROTTLE_STATE_BYTES,
            log_lines_per_second: 20,
            calls_per_instance: 1_000_000,
            wasm_bytes: 32 << 20,
        }
    }
}

impl Limits {
    /// The keys, for telling the nearest one to a wrong one.
    pub(crate) const KEYS: [&'static str; 8] = [
        "cpu_ms",
        "start_cpu_ms",
        "memory_bytes",
        "output_bytes",
        "state_bytes",
        "log_lines_per_second",
        "calls_per_instance",
        "wasm_bytes",
    ];
}

/// Stack of a plugin, bytes; the calling thread must have as much to spare.
pub const STACK_BYTES: usize = 512 << 10;
/// Core instances, memories and tables of one plugin instance, each.
pub const PARTS_PER_INSTANCE: usize = 64;
/// How often running plugins are looked at, milliseconds; also how exactly
/// their CPU time is measured.
pub const TICK_MS: u64 = 5;
/// Idle instances kept per plugin.
pub const IDLE_INSTANCES: usize = 64;
/// Longest line into the log, bytes; longer ones are cut.
pub const LOG_LINE_BYTES: usize = 1_024;
/// Longest sidecar, bytes.
pub const SIDECAR_BYTES: u64 = 1 << 20;
/// Most settings a plugin may declare.
pub const SETTINGS: usize = 64;
/// Longest name, version, summary or problem a plugin may state, bytes.
pub const STATEMENT_BYTES: usize = 1_024;
/// Longest single header, subject, URL or line of a channel, bytes.
pub const LINE_BYTES: usize = 8 << 10;
/// Longest address that `normalize` may answer, bytes.
pub const ADDRESS_BYTES: usize = 4 << 10;
/// Most events that one request to a callback URL may report.
pub const EVENTS: usize = 10_000;
/// Most templates of one channel.
pub const TEMPLATES: usize = 256;
/// Longest template, bytes.
pub const TEMPLATE_BYTES: u64 = 64 << 10;
/// Most headers of a request or mail.
pub const HEADERS: usize = 64;
/// Longest time a plugin may put anything off, milliseconds: a year.
pub const HOLD_MS: i64 = 366 * 24 * 60 * 60 * 1000;
/// Failing calls spent on finding the bad items of one batch.
pub const BISECT_FAILURES: u32 = 16;
/// Failing batches in a row after which a plugin is left alone for a while.
pub const BREAKER_FAILURES: u32 = 3;
/// How long it is first left alone, milliseconds; doubled each time.
pub const BREAKER_FIRST_MS: u64 = 1_000;
/// How long it is left alone at most, milliseconds.
pub const BREAKER_MOST_MS: u64 = 60_000;
/// Calls a new plugin is on probation for.
pub const PROBATION_CALLS: u64 = 1_000;
/// Failing batches during probation after which it is rolled back; well within
/// one in a hundred of the calls of probation.
pub const PROBATION_TRAPS: u64 = 3;
/// Items a policy is asked for at most while it is checked.
pub const CHECK_ITEMS: usize = 100_000;
/// Compiled plugins kept in the cache.
pub const CACHED_PLUGINS: usize = 64;
/// Files looked at in the plugin folder.
pub const FOLDER_ENTRIES: usize = 1_024;
/// Rejected digests remembered per plugin.
pub const REJECTED_DIGESTS: usize = 64;
