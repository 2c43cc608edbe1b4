//! The state that all tasks of a running dispatcher share: options, stores, clock, metrics, and the stop
//! signal.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pricedrop_model::dispatch::{CurrentPrices, DeadLetters, Leases, Recipients, RetryQueue, Sender};
use pricedrop_model::plugin::Plugins;
use pricedrop_model::sync::lock;
use pricedrop_model::{Cause, Clock, ports};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::breaker::Breakers;
use super::job::{FinishedJob, Job, Outcome};
use super::key::Keys;
use super::metrics::Metrics;
use super::offset_tracker::OffsetTracker;
use super::options::{Options, STORE_PAUSE_MS};
use super::store_failures::StoreFailures;

/// The stores of the dispatcher, as ports.
pub(super) struct Stores {
    pub(super) recipients: Arc<dyn Recipients>,
    pub(super) leases: Arc<dyn Leases>,
    pub(super) retries: Arc<dyn RetryQueue>,
    pub(super) dead_letters: Arc<dyn DeadLetters>,
    pub(super) prices: Arc<dyn CurrentPrices>,
}

/// The shared parts of one running dispatcher.
pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) keys: Keys,
    pub(super) stores: Stores,
    pub(super) plugins: Arc<dyn Plugins>,
    pub(super) sender: Arc<dyn Sender>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) offsets: OffsetTracker,
    pub(super) breakers: Arc<Breakers>,
    pub(super) stop: watch::Sender<bool>,
    store_failures: StoreFailures,
    failure: Mutex<Option<Cause>>,
    plugin_calls: Arc<Semaphore>,
}

/// The dispatcher stops, so the task has to end.
#[derive(Debug)]
pub(super) struct Stopped;

impl Shared {
    pub(super) fn new(
        options: Options,
        keys: Keys,
        stores: Stores,
        plugins: Arc<dyn Plugins>,
        sender: Arc<dyn Sender>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Shared {
        let breakers = Arc::new(Breakers::new(options.breaker_threshold, options.breaker_reset_timeout_ms));
        metrics.watch(&breakers);
        Shared {
            offsets: OffsetTracker::new(options.window),
            plugin_calls: Arc::new(Semaphore::new(options.plugin_calls.max(1))),
            stop: watch::channel(false).0,
            failure: Mutex::default(),
            store_failures: StoreFailures::default(),
            options,
            keys,
            stores,
            plugins,
            sender,
            clock,
            metrics,
            breakers,
        }
    }

    /// Calls a store until it answers; does nothing if the call is not `needed`. It repeats the call
    /// also while the dispatcher stops, until the drain's time limit ends that.
    ///
    /// # Errors
    /// The store needs an operator; the dispatcher stops.
    pub(super) async fn call_store<T, F>(
        &self,
        needed: bool,
        mut call: impl FnMut() -> F,
    ) -> Result<T, Stopped>
    where
        T: Default,
        F: Future<Output = Result<T, ports::Error>>,
    {
        if !needed {
            return Ok(T::default());
        }
        let mut had_failed = false;
        loop {
            match call().await {
                Ok(value) => {
                    if had_failed {
                        self.store_failures.recovered();
                    }
                    return Ok(value);
                }
                Err(ports::Error::Unavailable(reason) | ports::Error::Rebalanced(reason)) => {
                    had_failed = true;
                    self.store_failures.failed(&reason.to_string());
                    tokio::time::sleep(Duration::from_millis(STORE_PAUSE_MS)).await;
                }
                Err(ports::Error::Fatal(reason)) => {
                    self.fail(reason);
                    return Err(Stopped);
                }
            }
        }
    }

    /// Stops the dispatcher with this error. Of several errors the first is reported.
    pub(super) fn fail(&self, reason: Cause) {
        tracing::error!(%reason, "the dispatcher stops");
        lock(&self.failure).get_or_insert(reason);
        self.stop.send_replace(true);
    }

    /// The error that stopped the dispatcher, if there was one.
    pub(super) fn failure(&self) -> Option<Cause> {
        lock(&self.failure).clone()
    }

    /// Whether the dispatcher stops.
    pub(super) fn stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Returns once the dispatcher stops.
    pub(super) async fn stopped(&self) {
        let _ = self.stop.subscribe().wait_for(|stop| *stop).await;
    }

    /// Waits for one of the `plugin_calls` permits to call a plugin.
    pub(super) async fn plugin_permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.plugin_calls).acquire_owned().await.ok()
    }

    /// Runs a plugin call on a blocking thread, because it uses CPU time. `None` if it panicked.
    pub(super) async fn call_plugin<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let permit = self.plugin_permit().await?;
        let call = move || {
            let _permit = permit;
            call()
        };
        tokio::task::spawn_blocking(call).await.ok()
    }
}

/// Sends outcomes to the task that stores them.
#[derive(Clone)]
pub(super) struct Outcomes(pub(super) mpsc::UnboundedSender<FinishedJob>);

impl Outcomes {
    /// Sends the outcome of a job that was not started, so it has no permit of its channel.
    pub(super) fn send_unstarted(&self, job: Job, outcome: Outcome) {
        self.send(FinishedJob { job, outcome, permit: None });
    }

    /// Sends an outcome.
    pub(super) fn send(&self, finished: FinishedJob) {
        // The receiver ends early only if a store needs an operator. Then nothing is confirmed, and
        // the log or the retry queue still has the delivery.
        let _ = self.0.send(finished);
    }
}
