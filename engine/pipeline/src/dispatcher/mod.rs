//! Delivers notifications: each once per address, as far as the outside can
//! tell, and none is lost.
//!
//! ```text
//! log ─▶ intake ─▶ lane per channel ─▶ attempts ─▶ settler ─▶ leases, retries, dead letters
//!          ▲                                          │
//!          └────────────── window ◀───────────────────┘   (offsets to commit)
//! ```
//!
//! Invariant: a delivery's lease is durable before its request is sent, its
//! outcome is durable before its notification counts as finished, and offsets
//! are committed up to the first unfinished one. So a crash at any moment
//! repeats at most what was sent and not confirmed, under the same key.
//!
//! Deliveries are not ordered, not even those of one user: attempts of a channel run at
//! the same time, and a retry comes later than what was sent meanwhile.
//!
//! Channels say what to send; the [`Sender`] sends. No protocol and no store is
//! named here.

mod attempt;
mod backoff;
mod breaker;
mod classification;
mod classifier;
mod fallback;
mod intake;
mod job;
mod key;
mod lane;
mod metrics;
mod money;
mod options;
mod queue;
mod rate;
mod recheck;
mod render;
mod replay;
mod settle;
mod shared;
mod window;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use pricedrop_model::dispatch::{
    CurrentPrices, DeadLetters, Leases, NotificationLog, Recipients, RetryQueue, Sender,
};
use pricedrop_model::plugin::Plugins;
use pricedrop_model::{Cause, Clock};
use tokio::sync::mpsc;

pub use breaker::State as BreakerState;
pub use classification::standard;
pub use key::{Keys, idempotency_key, notification_name};
pub use metrics::{ChannelMetrics, Metrics};
pub use money::money;
pub use options::{FOLLOW_UPS, Options};
pub use replay::{ReplayError, replay};

use intake::Intake;
use shared::{Outcomes, Shared, Stores};

/// Everything a dispatcher needs.
pub struct Dispatcher {
    /// How it works.
    pub options: Options,
    /// How it names deliveries.
    pub keys: Keys,
    /// What to deliver.
    pub log: Box<dyn NotificationLog>,
    /// Where users are reached.
    pub recipients: Arc<dyn Recipients>,
    /// Who delivers what, and what was delivered.
    pub leases: Arc<dyn Leases>,
    /// What is tried again.
    pub retries: Arc<dyn RetryQueue>,
    /// What is not.
    pub dead_letters: Arc<dyn DeadLetters>,
    /// For re-checks.
    pub prices: Arc<dyn CurrentPrices>,
    /// The channels.
    pub plugins: Arc<dyn Plugins>,
    /// What sends.
    pub sender: Arc<dyn Sender>,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// What it counts.
    pub metrics: Arc<Metrics>,
}

/// Why a dispatcher ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A store must be looked at; starting again afterwards loses nothing.
    #[error("the dispatcher stopped: {0}")]
    Fatal(#[source] Cause),
    /// Some deliveries were still in flight when the drain's time was over;
    /// they are repeated after the next start, under the same keys.
    #[error("deliveries in flight did not end within {0} ms; they will be repeated")]
    NotDrained(u64),
}

/// Also a dispatcher that is dropped halfway stops taking deliveries.
struct StopOnDrop(Arc<Shared>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop.send_replace(true);
    }
}

impl Dispatcher {
    /// Delivers until `shutdown`, then lets what is in flight end.
    ///
    /// # Errors
    /// A store is broken, or the drain took too long.
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
        let mut settler = tokio::spawn(settle::run(Arc::clone(&shared), inbox));
        let intake = tokio::spawn(Intake::new(self.log, Arc::clone(&shared), Outcomes(outcomes)).run());
        tokio::select! {
            () = shutdown => {}
            () = shared.stopped() => {}
            // It ends behind all others, unless it panicked.
            _ = &mut settler => shared.fail("outcomes are not settled any more".into()),
        }
        drop(stop);
        let drain = async {
            let log = intake.await.ok();
            if !settler.is_finished() {
                let _ = settler.await;
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
