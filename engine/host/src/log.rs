//! The log import of plugins: writes their lines to the engine's log, at a limited rate.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use pricedrop_model::sync::lock;

use crate::contract::bindings::log::{Host, Level};
use crate::limits::LOG_LINE_BYTES;

/// The log of one plugin. All its instances share it.
#[derive(Clone)]
pub(crate) struct LogLines {
    plugin: Arc<str>,
    rate: Arc<Mutex<Rate>>,
}

/// A token bucket of lines.
struct Rate {
    per_second: f64,
    permits: f64,
    refilled: Instant,
    dropped: u64,
}

/// Size of a burst: the lines of this many seconds.
const BURST_SECONDS: f64 = 5.0;

impl LogLines {
    pub(crate) fn new(plugin: &str, lines_per_second: u32) -> LogLines {
        let per_second = f64::from(lines_per_second);
        let rate =
            Rate { per_second, permits: per_second * BURST_SECONDS, refilled: Instant::now(), dropped: 0 };
        LogLines { plugin: plugin.into(), rate: Arc::new(Mutex::new(rate)) }
    }

    /// Writes one line. Drops and counts it if the rate is exceeded.
    pub(crate) fn line(&self, level: Level, message: &str) {
        let Some(dropped) = self.permit() else { return };
        let plugin = &*self.plugin;
        if dropped > 0 {
            tracing::warn!(target: "plugin", plugin, "{dropped} lines dropped: the plugin exceeded its log rate");
        }
        let message = printable(message);
        match level {
            Level::Debug => tracing::debug!(target: "plugin", plugin, "{message}"),
            Level::Info => tracing::info!(target: "plugin", plugin, "{message}"),
            Level::Warn => tracing::warn!(target: "plugin", plugin, "{message}"),
            Level::Error => tracing::error!(target: "plugin", plugin, "{message}"),
        }
    }

    /// Returns the number of lines dropped since the last permitted one; none if this line must be
    /// dropped too.
    fn permit(&self) -> Option<u64> {
        let mut rate = lock(&self.rate);
        let now = Instant::now();
        let earned = now.duration_since(rate.refilled).as_secs_f64() * rate.per_second;
        rate.permits = (rate.permits + earned).min(rate.per_second * BURST_SECONDS);
        rate.refilled = now;
        if rate.permits < 1.0 {
            rate.dropped += 1;
            return None;
        }
        rate.permits -= 1.0;
        Some(std::mem::take(&mut rate.dropped))
    }
}

/// Returns one line without control characters, which could control a terminal. Truncates it to
/// [`LOG_LINE_BYTES`] and adds "…".
fn printable(message: &str) -> String {
    let mut line = String::with_capacity(message.len().min(LOG_LINE_BYTES));
    for character in message.trim_end().chars() {
        if line.len() + character.len_utf8() > LOG_LINE_BYTES {
            line.push('…');
            break;
        }
        line.push(if character.is_control() { ' ' } else { character });
    }
    line
}

impl Host for LogLines {
    fn write(&mut self, level: Level, message: String) {
        self.line(level, &message);
    }
}

impl crate::contract::bindings::types::Host for LogLines {}
