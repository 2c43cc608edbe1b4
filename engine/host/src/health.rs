//! How a generation of a plugin fares: counters, the breaker that leaves a
//! failing one alone for a while, and probation, after which a failing new
//! one gives way to the one before.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use pricedrop_model::sync::lock;

use crate::limits::{BREAKER_FAILURES, BREAKER_FIRST_MS, BREAKER_MOST_MS, PROBATION_CALLS, PROBATION_TRAPS};
use crate::meta::Meta;
use crate::metrics::PluginMetrics;
use pricedrop_model::plugin::Kind;

/// Told when a generation's probation is over.
pub(crate) trait Reports: Send + Sync {
    /// It failed; whether another one serves instead now.
    fn failed(&self, meta: &Meta, reason: &str) -> bool;
    /// It went well.
    fn proven(&self, meta: &Meta);
}

/// The health of one generation.
pub(crate) struct Health {
    metrics: PluginMetrics,
    reports: OnceLock<Arc<dyn Reports>>,
    calls: AtomicU64,
    traps: AtomicU64,
    /// It was proven before this start.
    proven: AtomicBool,
    condemned: OnceLock<String>,
    failures_in_a_row: AtomicU32,
    breaker: Mutex<Breaker>,
}

#[derive(Default)]
struct Breaker {
    until: Option<Instant>,
    times: u32,
    reason: String,
}

impl Health {
    pub(crate) fn new(metrics: PluginMetrics) -> Health {
        Health {
            metrics,
            reports: OnceLock::new(),
            calls: AtomicU64::new(0),
            traps: AtomicU64::new(0),
            proven: AtomicBool::new(false),
            condemned: OnceLock::new(),
            failures_in_a_row: AtomicU32::new(0),
            breaker: Mutex::default(),
        }
    }

    /// From now on it serves: what happens is told to `reports`.
    pub(crate) fn serve(&self, reports: Arc<dyn Reports>, proven: bool) {
        self.proven.store(proven, Relaxed);
        let _ = self.reports.set(reports);
    }

    pub(crate) fn is_proven(&self) -> bool {
        self.proven.load(Relaxed)
    }

    /// Why it is not asked any more, if so.
    pub(crate) fn condemned(&self) -> Option<&str> {
        self.condemned.get().map(String::as_str)
    }

    /// Whether it may be asked now; if not, why.
    pub(crate) fn admit(&self) -> Result<(), String> {
        if let Some(reason) = self.condemned.get() {
            return Err(reason.clone());
        }
        if self.failures_in_a_row.load(Relaxed) < BREAKER_FAILURES {
            return Ok(());
        }
        let breaker = self.breaker();
        match breaker.until {
            Some(until) if Instant::now() < until => {
                Err(format!("left alone for a while after failing in a row: {}", breaker.reason))
            }
            _ => Ok(()),
        }
    }

    /// A call came to an end, well or not, after so long.
    pub(crate) fn called(&self, meta: &Meta, took: Duration) {
        let Some(reports) = self.reports.get() else { return };
        self.metrics.called(took);
        if self.calls.fetch_add(1, Relaxed) + 1 == PROBATION_CALLS && !self.proven.swap(true, Relaxed) {
            reports.proven(meta);
        }
    }

    pub(crate) fn succeeded(&self) {
        if self.failures_in_a_row.load(Relaxed) != 0 {
            self.failures_in_a_row.store(0, Relaxed);
            *self.breaker() = Breaker::default();
        }
    }

    /// A batch failed, wholly or in part.
    pub(crate) fn trapped(&self, meta: &Meta, function: &str, reason: &str, some_answered: bool) {
        self.metrics.traps.inc();
        let traps = self.traps.fetch_add(1, Relaxed) + 1;
        tracing::warn!(plugin = %meta.name, file = %meta.stem, function, "{reason}");
        if some_answered {
            self.succeeded();
        } else {
            self.trip(reason);
        }
        if !self.is_proven() && traps > PROBATION_TRAPS {
            self.give_way(
                meta,
                &format!("{function}: more than {PROBATION_TRAPS} failures on probation: {reason}"),
            );
        }
    }

    /// An answer broke the contract. A bucketing policy that did so once is
    /// never asked again: its buckets cannot be trusted.
    pub(crate) fn breached(&self, meta: &Meta, kind: Kind, function: &str, reason: &str) {
        self.metrics.breaches.inc();
        tracing::error!(plugin = %meta.name, file = %meta.stem, function, "broke its contract: {reason}");
        self.trip(reason);
        let reason = format!("{function}: broke its contract: {reason}");
        if kind == Kind::Bucketing {
            let _ = self.condemned.set(reason.clone());
            self.give_way(meta, &reason);
        } else if !self.is_proven() {
            self.give_way(meta, &reason);
        }
    }

    fn give_way(&self, meta: &Meta, reason: &str) {
        if let Some(reports) = self.reports.get()
            && reports.failed(meta, reason)
        {
            let _ = self.condemned.set(reason.to_owned());
        }
    }

    fn trip(&self, reason: &str) {
        if self.failures_in_a_row.fetch_add(1, Relaxed) + 1 < BREAKER_FAILURES {
            return;
        }
        let mut breaker = self.breaker();
        let pause = (BREAKER_FIRST_MS << breaker.times).min(BREAKER_MOST_MS);
        breaker.times = (breaker.times + 1).min(BREAKER_MOST_MS.ilog2());
        breaker.until = Some(Instant::now() + Duration::from_millis(pause));
        breaker.reason = reason.to_owned();
    }

    fn breaker(&self) -> std::sync::MutexGuard<'_, Breaker> {
        lock(&self.breaker)
    }
}
