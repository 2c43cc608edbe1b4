//! What every part of a running dispatcher needs: stores, clock, numbers, and
//! the word that it stops.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pricedrop_model::dispatch::{CurrentPrices, DeadLetters, Leases, Recipients, RetryQueue, Sender};
use pricedrop_model::plugin::Plugins;
use pricedrop_model::sync::lock;
use pricedrop_model::{Cause, Clock, ports};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::breaker::Breakers;
use super::job::{Job, Outcome, Settled};
use super::key::Keys;
use super::metrics::Metrics;
use super::options::{Options, STORE_PAUSE_MS};
use super::window::Window;

/// The stores of the dispatcher.
pub(super) struct Stores {
    pub(super) recipients: Arc<dyn Recipients>,
    pub(super) leases: Arc<dyn Leases>,
    pub(super) retries: Arc<dyn RetryQueue>,
    pub(super) dead_letters: Arc<dyn DeadLetters>,
    pub(super) prices: Arc<dyn CurrentPrices>,
}

/// One running dispatcher.
pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) keys: Keys,
    pub(super) stores: Stores,
    pub(super) plugins: Arc<dyn Plugins>,
    pub(super) sender: Arc<dyn Sender>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) window: Window,
    pub(super) breakers: Arc<Breakers>,
    pub(super) stop: watch::Sender<bool>,
    broken: Mutex<Option<Cause>>,
    plugin_calls: Arc<Semaphore>,
}

/// The dispatcher stops, or a store is broken: no use in going on.
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
            window: Window::new(options.window),
            plugin_calls: Arc::new(Semaphore::new(options.plugin_calls.max(1))),
            stop: watch::channel(false).0,
            broken: Mutex::default(),
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

    /// Asks a store until it answers. A store that is away is waited for, also
    /// while stopping: the drain's own limit ends that.
    pub(super) async fn ask<T, F>(&self, needed: bool, mut call: impl FnMut() -> F) -> Result<T, Stopped>
    where
        T: Default,
        F: Future<Output = Result<T, ports::Error>>,
    {
        if !needed {
            return Ok(T::default());
        }
        loop {
            match call().await {
                Ok(value) => return Ok(value),
                Err(ports::Error::Unavailable(reason) | ports::Error::Rebalanced(reason)) => {
                    tracing::warn!(%reason, "a store of the dispatcher is away; it will be asked again");
                    tokio::time::sleep(Duration::from_millis(STORE_PAUSE_MS)).await;
                }
                Err(ports::Error::Fatal(reason)) => {
                    self.fail(reason);
                    return Err(Stopped);
                }
            }
        }
    }

    /// Stops everything, for this reason.
    pub(super) fn fail(&self, reason: Cause) {
        tracing::error!(%reason, "the dispatcher stops");
        lock(&self.broken).get_or_insert(reason);
        self.stop.send_replace(true);
    }

    /// Why it failed, if it did.
    pub(super) fn failure(&self) -> Option<Cause> {
        lock(&self.broken).clone()
    }

    pub(super) fn stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Returns once the dispatcher stops.
    pub(super) async fn stopped(&self) {
        let _ = self.stop.subscribe().wait_for(|stop| *stop).await;
    }

    /// Leave to call into a plugin: a bounded number at a time.
    pub(super) async fn plugin_slot(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.plugin_calls).acquire_owned().await.ok()
    }

    /// Runs a call into a plugin off the async threads. `None`: it panicked.
    pub(super) async fn call_plugin<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let slot = self.plugin_slot().await?;
        let call = move || {
            let _slot = slot;
            call()
        };
        tokio::task::spawn_blocking(call).await.ok()
    }
}

/// Where outcomes go.
#[derive(Clone)]
pub(super) struct Outcomes(pub(super) mpsc::UnboundedSender<Settled>);

impl Outcomes {
    /// Tells how a job ended that holds no place in its lane.
    pub(super) fn settle(&self, job: Job, outcome: Outcome) {
        self.send(Settled { job, outcome, permit: None });
    }

    pub(super) fn send(&self, settled: Settled) {
        // The settler only ends early when a store is broken: then nothing is
        // confirmed, and the log and the queue still have the delivery.
        let _ = self.0.send(settled);
    }
}
