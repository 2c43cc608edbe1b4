//! Every limit of the host, with its default. The fields of [`Limits`] can be set in the
//! configuration and, for one plugin, in its sidecar.

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
    /// Memory of one instance, all its memories and tables together, bytes.
    pub memory_bytes: usize,
    /// Maximum amount of data that one call may pass to the host, bytes.
    pub output_bytes: usize,
    /// Maximum amount of data that a throttling plugin may keep per product, bytes; at most
    /// [`THROTTLE_STATE_BYTES`].
    pub state_bytes: usize,
    /// Log lines per second; a burst may be five times as many.
    pub log_lines_per_second: u32,
    /// Calls after which an instance is replaced by a fresh one.
    pub calls_per_instance: u64,
    /// Longest `.wasm` file that is compiled, bytes.
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
    /// The keys, to suggest the most similar one to an unknown key.
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

/// Stack of a plugin, bytes. The calling thread needs as much free stack.
pub const STACK_BYTES: usize = 512 << 10;
/// Maximum number of core instances, of memories and of tables of one plugin instance.
pub const PARTS_PER_INSTANCE: usize = 64;
/// Interval at which running plugins check their CPU time, milliseconds. It is also the precision
/// of that time.
pub const TICK_MS: u64 = 5;
/// Maximum number of idle instances of one plugin.
pub const IDLE_INSTANCES: usize = 64;
/// Longest log line, bytes; longer ones are truncated.
pub const LOG_LINE_BYTES: usize = 1_024;
/// Longest sidecar, bytes.
pub const SIDECAR_BYTES: u64 = 1 << 20;
/// Maximum number of settings a plugin may declare.
pub const SETTINGS: usize = 64;
/// Longest summary of a setting and longest name of a credential that a plugin may state, bytes.
/// Other texts of a plugin are truncated to a quarter as many characters. Names and versions have
/// at most 64 bytes.
pub const STATEMENT_BYTES: usize = 1_024;
/// Longest header, subject, URL or line of a channel, bytes.
pub const LINE_BYTES: usize = 8 << 10;
/// Longest address that `normalize` may return, bytes.
pub const ADDRESS_BYTES: usize = 4 << 10;
/// Maximum number of events that one request to a callback URL may report.
pub const EVENTS: usize = 10_000;
/// Maximum number of templates of one channel.
pub const TEMPLATES: usize = 256;
/// Longest template, bytes.
pub const TEMPLATE_BYTES: u64 = 64 << 10;
/// Maximum number of headers of a request or mail.
pub const HEADERS: usize = 64;
/// Longest time for which a plugin may hold an update or delay a retry, milliseconds: 366 days.
pub const HOLD_MS: i64 = 366 * 24 * 60 * 60 * 1000;
/// Maximum number of failing calls to find the bad items of one batch.
pub const BISECT_FAILURES: u32 = 16;
/// Consecutive failing batches that open the circuit breaker of a plugin.
pub const BREAKER_FAILURES: u32 = 3;
/// How long the breaker stays open first, milliseconds; doubled each time.
pub const BREAKER_FIRST_MS: u64 = 1_000;
/// How long the breaker stays open at most, milliseconds.
pub const BREAKER_MOST_MS: u64 = 60_000;
/// Calls of a new generation that are its probation.
pub const PROBATION_CALLS: u64 = 1_000;
/// Failing batches that a generation may have on probation, 0.3 % of its calls. One more rolls it
/// back.
pub const PROBATION_TRAPS: u64 = 3;
/// Budget of prices for the load check of a policy. The search for boundaries ends when it is used up;
/// the samples before it are smaller.
pub const CHECK_ITEMS: usize = 100_000;
/// Maximum number of compiled plugins in the cache.
pub const CACHED_PLUGINS: usize = 64;
/// Maximum number of entries of the plugin folder that are read.
pub const FOLDER_ENTRIES: usize = 1_024;
/// Maximum number of rejected generations that are remembered per plugin.
pub const REJECTED_DIGESTS: usize = 64;
