//! The health of one generation of a plugin: its counters, its circuit breaker, and its probation,
//! during which failures roll it back to the previous generation.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use pricedrop_model::backoff::Backoff;
use pricedrop_model::breaker::{Admission, Breaker};
use pricedrop_model::sync::lock;

use crate::limits::{BREAKER_FAILURES, BREAKER_FIRST_MS, BREAKER_MOST_MS, PROBATION_CALLS, PROBATION_TRAPS};
use crate::meta::Meta;
use crate::metrics::PluginMetrics;
use pricedrop_model::plugin::Kind;

/// How long the breaker stays open: from [`BREAKER_FIRST_MS`], doubled, to [`BREAKER_MOST_MS`].
const RESET_TIMEOUTS: Backoff = Backoff::from_millis(BREAKER_FIRST_MS, BREAKER_MOST_MS);

/// Is called when a generation passes its probation, or must be rolled back.
pub(crate) trait ProbationObserver: Send + Sync {
    /// The generation failed. Returns whether another generation serves in its place now.
    fn failed(&self, meta: &Meta, reason: &str) -> bool;
    /// The generation passed its probation.
    fn proven(&self, meta: &Meta);
}

/// The health of one generation.
pub(crate) struct Health {
    metrics: PluginMetrics,
    observer: OnceLock<Arc<dyn ProbationObserver>>,
    calls: AtomicU64,
    traps: AtomicU64,
    /// Whether it passed its probation, in this process or before its start.
    proven: AtomicBool,
    /// Why it is disabled: it is never called again.
    disabled: OnceLock<String>,
    /// Whether the last batch failed. Only then is the breaker's lock taken.
    is_failing: AtomicBool,
    breaker: Mutex<BreakerState>,
    /// The zero of the breaker's times.
    started: Instant,
}

/// The breaker, with the reason why it opened.
struct BreakerState {
    breaker: Breaker,
    /// The reason of the last failure.
    reason: String,
}

impl Health {
    pub(crate) fn new(metrics: PluginMetrics) -> Health {
        Health {
            metrics,
            observer: OnceLock::new(),
            calls: AtomicU64::new(0),
            traps: AtomicU64::new(0),
            proven: AtomicBool::new(false),
            disabled: OnceLock::new(),
            is_failing: AtomicBool::new(false),
            breaker: Mutex::new(BreakerState {
                breaker: Breaker::new(BREAKER_FAILURES, RESET_TIMEOUTS),
                reason: String::new(),
            }),
            started: Instant::now(),
        }
    }

    /// Marks the generation as serving: from now on its calls are counted, and `observer` receives
    /// the end of its probation. `proven`: it passed before.
    pub(crate) fn serve(&self, observer: Arc<dyn ProbationObserver>, proven: bool) {
        self.proven.store(proven, Relaxed);
        let _ = self.observer.set(observer);
    }

    pub(crate) fn is_proven(&self) -> bool {
        self.proven.load(Relaxed)
    }

    /// Returns why it is disabled; none if it is not.
    pub(crate) fn disabled(&self) -> Option<&str> {
        self.disabled.get().map(String::as_str)
    }

    /// Returns whether it may be called now.
    ///
    /// # Errors
    /// It is disabled, or its breaker is open; the text is the reason.
    pub(crate) fn admit(&self) -> Result<(), String> {
        if let Some(reason) = self.disabled.get() {
            return Err(reason.clone());
        }
        if !self.is_failing.load(Relaxed) {
            return Ok(());
        }
        let mut breaker_state = self.breaker();
        match breaker_state.breaker.admit(self.started.elapsed()) {
            Admission::Admitted => Ok(()),
            Admission::RefusedUntil(_) => Err(format!(
                "not called while its circuit breaker is open; last failure: {}",
                breaker_state.reason
            )),
        }
    }

    /// Counts a finished call, failed or not, and its duration. The last call of the probation
    /// proves the generation.
    pub(crate) fn called(&self, meta: &Meta, took: Duration) {
        let Some(observer) = self.observer.get() else { return };
        self.metrics.called(took);
        if self.calls.fetch_add(1, Relaxed) + 1 == PROBATION_CALLS && !self.proven.swap(true, Relaxed) {
            observer.proven(meta);
        }
    }

    pub(crate) fn succeeded(&self) {
        if self.is_failing.load(Relaxed) {
            let mut breaker_state = self.breaker();
            breaker_state.breaker.record_success();
            self.is_failing.store(false, Relaxed);
        }
    }

    /// Records a failed batch. If some items were answered, the breaker counts a success. Too many
    /// failures on probation cause a rollback.
    pub(crate) fn trapped(&self, meta: &Meta, function: &str, reason: &str, some_answered: bool) {
        self.metrics.traps.inc();
        let traps = self.traps.fetch_add(1, Relaxed) + 1;
        tracing::warn!(plugin = %meta.name, file = %meta.stem, function, "{reason}");
        if some_answered {
            self.succeeded();
        } else {
            self.record_failure(reason);
        }
        if !self.is_proven() && traps > PROBATION_TRAPS {
            self.roll_back(
                meta,
                &format!("{function}: more than {PROBATION_TRAPS} failures on probation: {reason}"),
            );
        }
    }

    /// Records an answer that broke the contract, which on probation causes a rollback. A bucketing
    /// policy is disabled in any case, because its buckets cannot be trusted.
    pub(crate) fn breached(&self, meta: &Meta, kind: Kind, function: &str, reason: &str) {
        self.metrics.breaches.inc();
        tracing::error!(plugin = %meta.name, file = %meta.stem, function, "broke its contract: {reason}");
        self.record_failure(reason);
        let reason = format!("{function}: broke its contract: {reason}");
        if kind == Kind::Bucketing {
            let _ = self.disabled.set(reason.clone());
            self.roll_back(meta, &reason);
        } else if !self.is_proven() {
            self.roll_back(meta, &reason);
        }
    }

    fn roll_back(&self, meta: &Meta, reason: &str) {
        if let Some(observer) = self.observer.get()
            && observer.failed(meta, reason)
        {
            let _ = self.disabled.set(reason.to_owned());
        }
    }

    fn record_failure(&self, reason: &str) {
        let mut breaker_state = self.breaker();
        breaker_state.breaker.record_failure(self.started.elapsed());
        breaker_state.reason = reason.to_owned();
        self.is_failing.store(true, Relaxed);
    }

    fn breaker(&self) -> std::sync::MutexGuard<'_, BreakerState> {
        lock(&self.breaker)
    }
}
