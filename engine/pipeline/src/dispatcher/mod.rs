//! Delivers notifications: sends each one to the addresses of its user at least once, or stores a
//! dead letter. A repetition has the same idempotency key.
//!
//! ```text
//! log ─▶ intake ─▶ channel_worker ─▶ attempts ─▶ outcome_writer ─▶ leases, retries, dead letters
//!          ▲                                          │
//!          └──────────── offset_tracker ◀─────────────┘   (offsets to commit)
//! ```
//!
//! Invariant: a delivery's lease is durable before its request is sent; its outcome is durable
//! before its notification counts as finished; the committed offset is that of the first
//! unfinished notification. So a crash repeats at most what was sent and not confirmed.
//!
//! Deliveries are not ordered, not even those of one user: attempts of a channel run
//! concurrently, and a retry is sent later than notifications that were read after it.
//!
//! Channel plugins say what to send; the [`Sender`] sends it. No protocol and no store is
//! named here.

mod attempt;
mod backoff;
mod breaker;
mod channel_queue;
mod channel_worker;
mod classification;
mod classifier;
mod fallback;
mod intake;
mod job;
mod key;
mod metrics;
mod offset_tracker;
mod options;
mod outcome_writer;
mod price_format;
mod rate;
mod recheck;
mod render;
mod replay;
mod shared;
mod store_failures;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use pricedrop_model::dispatch::{
    CurrentPrices, DeadLetters, Leases, NotificationLog, Recipients, RetryQueue, Sender,
};
use pricedrop_model::plugin::Plugins;
use pricedrop_model::{Cause, Clock};
use tokio::sync::mpsc;

pub use breaker::{FailingProvider, State as BreakerState};
pub use classification::standard;
pub use key::{Keys, idempotency_key, notification_name};
pub use metrics::{ChannelMetrics, Metrics};
pub use options::{FOLLOW_UPS, Options};
pub use price_format::format_price;
pub use replay::{ReplayError, replay};

use intake::Intake;
use shared::{Outcomes, Shared, Stores};

/// A dispatcher that is not started: its options, ports and metrics.
pub struct Dispatcher {
    /// Limits and times.
    pub options: Options,
    /// Computes the keys of deliveries.
    pub keys: Keys,
    /// The notifications to deliver.
    pub log: Box<dyn NotificationLog>,
    /// The addresses of users.
    pub recipients: Arc<dyn Recipients>,
    /// Leases and confirmations of deliveries.
    pub leases: Arc<dyn Leases>,
    /// Deliveries that are tried again later.
    pub retries: Arc<dyn RetryQueue>,
    /// Deliveries that failed permanently.
    pub dead_letters: Arc<dyn DeadLetters>,
    /// Current prices, read before a delayed delivery is sent.
    pub prices: Arc<dyn CurrentPrices>,
    /// The channel plugins.
    pub plugins: Arc<dyn Plugins>,
    /// Sends requests to providers.
    pub sender: Arc<dyn Sender>,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// Its metrics.
    pub metrics: Arc<Metrics>,
}

/// Why a dispatcher ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A store failed in a way that an operator has to fix, or a task panicked. Starting again
    /// afterwards loses nothing.
    #[error("the dispatcher stopped: {0}")]
    Fatal(#[source] Cause),
    /// Some deliveries were still in flight after `drain_timeout_ms`. They are repeated after the
    /// next start, under the same keys.
    #[error("deliveries in flight did not end within {0} ms; they are repeated after the next start")]
    NotDrained(u64),
}

/// Stops all tasks when it is dropped, so that a dispatcher whose future is cancelled stops too.
struct StopOnDrop(Arc<Shared>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop.send_replace(true);
    }
}

impl Dispatcher {
    /// Delivers until `shutdown` resolves, then waits up to `drain_timeout_ms` for deliveries in
    /// flight.
    ///
    /// # Errors
    /// [`Error::Fatal`] if a store needs an operator, [`Error::NotDrained`] if the drain took too
    /// long. After either the dispatcher may be started again.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
        let stores = Stores {
            recipients: self.recipients,
            leases: self.leases,
            retries: self.retries,
            dead_letters: self.dead_letters,
            prices: self.prices,
        };
        let shared =
            Shared::new(self.options, self.keys, stores, self.plugins, self.sender, self.clock, self.metrics);
        let shared = Arc::new(shared);
        let stop = StopOnDrop(Arc::clone(&shared));
        let (outcomes, inbox) = mpsc::unbounded_channel();
        let mut outcome_writer = tokio::spawn(outcome_writer::run(Arc::clone(&shared), inbox));
        let intake = tokio::spawn(Intake::new(self.log, Arc::clone(&shared), Outcomes(outcomes)).run());
        tokio::select! {
            () = shutdown => {}
            () = shared.stopped() => {}
            // This task ends after all others, unless it panicked.
            _ = &mut outcome_writer => shared.fail("the task that stores outcomes panicked".into()),
        }
        drop(stop);
        let drain = async {
            let log = intake.await.ok();
            if !outcome_writer.is_finished() {
                let _ = outcome_writer.await;
            }
            if let Some(mut log) = log {
                let _ = intake::commit(log.as_mut(), &shared).await;
            }
        };
        let limit = Duration::from_millis(shared.options.drain_timeout_ms);
        let drained = tokio::time::timeout(limit, drain).await;
        match (shared.failure(), drained) {
            (Some(reason), _) => Err(Error::Fatal(reason)),
            (None, Err(_)) => Err(Error::NotDrained(shared.options.drain_timeout_ms)),
            (None, Ok(())) => Ok(()),
        }
    }
}
