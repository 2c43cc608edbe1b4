//! Metrics of Redis.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

type Operations = Family<[(&'static str, &'static str); 2], Counter>;

/// Metrics of a [`Redis`](crate::Redis), over all its connections. Clones share them.
#[derive(Debug, Clone)]
pub struct Metrics {
    operations: Operations,
    /// Calls that were answered.
    pub answered: Counter,
    /// Calls that failed: the server was down, or refused them.
    pub failed: Counter,
    /// Calls that were given up because no answer came in time.
    pub timed_out: Counter,
    /// Calls that were refused by the breaker.
    pub not_tried: Counter,
    /// Connections made.
    pub connected: Counter,
    /// Cache entries that were found.
    pub hits: Counter,
    /// Cache entries that were missing, and that the caller was to fill.
    pub misses: Counter,
    /// Cache entries that were not used: being written, being filled by another reader, or the
    /// cache did not answer.
    pub passes: Counter,
    /// Cache entries that were stored.
    pub fills: Counter,
    /// Cache entries that were not stored: written meanwhile, too late, too large, or the cache did
    /// not answer.
    pub fills_refused: Counter,
    /// Writes of watches whose cache entries could not be marked, or whose marks were lost.
    pub marks_lost: Counter,
}

impl Default for Metrics {
    fn default() -> Metrics {
        let operations = Operations::default();
        let counter = |operation: &'static str, outcome: &'static str| {
            operations.get_or_create_owned(&[("operation", operation), ("outcome", outcome)])
        };
        Metrics {
            answered: counter("call", "answered"),
            failed: counter("call", "failed"),
            timed_out: counter("call", "timed-out"),
            not_tried: counter("call", "not-tried"),
            connected: counter("connect", "connected"),
            hits: counter("get", "hit"),
            misses: counter("get", "miss"),
            passes: counter("get", "pass"),
            fills: counter("fill", "stored"),
            fills_refused: counter("fill", "refused"),
            marks_lost: counter("mark", "lost"),
            operations,
        }
    }
}

impl Metrics {
    /// Registers the metrics.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Calls to Redis, connections, and reads and writes of cached watches, by their outcome";
        registry.register("redis_operations", help, self.operations.clone());
    }
}
