//! The loop of the notifier, and how it recovers from failures.

use std::sync::Arc;
use std::time::Duration;

use pricedrop_model::backoff::Backoff;
use pricedrop_model::plugin::Plugins;
use pricedrop_model::ports::{Committer, UpdateSource, WatchStore};
use pricedrop_model::{Cause, Clock};
use tokio::sync::watch;

use super::cycle::{Cycle, Cycles, Ports};
use super::error::{Failure, Stop};
use super::metrics::Metrics;
use super::options::Options;
use super::trouble::Trouble;

impl Options {
    /// Builds a notifier over these ports.
    pub fn build(
        self,
        source: Box<dyn UpdateSource>,
        committer: Box<dyn Committer>,
        watches: Arc<dyn WatchStore>,
        plugins: Arc<dyn Plugins>,
        clock: Arc<dyn Clock>,
    ) -> Notifier {
        let (metrics, pause_ms) = (Metrics::default(), self.pause_ms);
        let ports = Ports { source, committer, watches, plugins, clock };
        Notifier {
            cycles: Cycles::new(ports, self, metrics.clone()),
            metrics,
            trouble: Trouble::default(),
            pause_ms,
            fenced: false,
        }
    }
}

/// The notifier's loop. Each instance owns the states of the products in its partitions.
pub struct Notifier {
    cycles: Cycles,
    metrics: Metrics,
    trouble: Trouble,
    /// First and longest pause after a failure, milliseconds.
    pause_ms: (u64, u64),
    /// Whether it was fenced since its last commit.
    fenced: bool,
}

impl Notifier {
    /// Replaces the metrics, so that the notifiers of a process can share them.
    pub fn with_metrics(mut self, metrics: Metrics) -> Notifier {
        self.cycles.set_metrics(metrics.clone());
        Notifier { metrics, ..self }
    }

    /// Its metrics.
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// A handle that shows the failure it is recovering from.
    pub fn trouble(&self) -> Trouble {
        self.trouble.clone()
    }

    /// Runs until the input ends or `shutdown` becomes true, then commits the prepared batch. If the
    /// sender of `shutdown` is dropped, it goes on until the input ends or a store fails.
    ///
    /// # Errors
    /// A store failed in a way that an operator has to fix.
    pub async fn run(mut self, mut shutdown: watch::Receiver<bool>) -> Result<(), Stop> {
        let mut restored = false;
        let (initial_ms, max_ms) = self.pause_ms;
        let mut backoff = Backoff::from_millis(initial_ms, max_ms);
        while !*shutdown.borrow() {
            let step = if restored {
                self.cycles.next().await
            } else {
                self.cycles.restore().await.map(|()| Cycle::Begun)
            };
            restored = match step {
                Ok(Cycle::Ended) => break,
                Ok(Cycle::Begun) => true,
                Ok(cycle) => {
                    if cycle == Cycle::Done {
                        backoff.reset();
                        self.fenced = false;
                    }
                    self.trouble.set(None);
                    true
                }
                Err(failure) => {
                    let pause = self.recover(failure, restored, &mut backoff)?;
                    let stops = pause_or_stop(pause.length, &mut shutdown).await;
                    if stops {
                        break;
                    }
                    pause.keeps_state && restored
                }
            };
        }
        if let Err(failure) = self.cycles.commit_prepared().await {
            tracing::warn!(reason = %failure, "the last batch was not committed before the stop; it is decided again after the next start");
        }
        Ok(())
    }

    /// Handles a failure of a cycle or of a restore. Returns how it goes on.
    fn recover(&mut self, failure: Failure, restored: bool, backoff: &mut Backoff) -> Result<Pause, Stop> {
        let (why, keeps_state) = match failure {
            Failure::Stop(stop) => {
                self.trouble.set(Some(stop.to_string()));
                return Err(stop);
            }
            Failure::Rebalanced(why) => {
                // If the restore itself was interrupted, give the rebalance time.
                let length = if restored { Duration::ZERO } else { Duration::from_millis(self.pause_ms.0) };
                return Ok(rebalanced(&why, length));
            }
            // Fenced once: partitions were reassigned. Twice without a commit in between: a failure.
            Failure::Fenced(why) if !std::mem::replace(&mut self.fenced, true) => {
                return Ok(rebalanced(&why, Duration::ZERO));
            }
            Failure::Retry(why) => (why, true),
            Failure::Fenced(why) | Failure::Restore(why) => (why, false),
        };
        tracing::warn!(reason = %why, "the notifier pauses after a failure, then tries again");
        self.trouble.set(Some(why.to_string()));
        Ok(Pause { length: backoff.next_pause(), keeps_state })
    }
}

/// How the loop goes on after a failure.
struct Pause {
    length: Duration,
    /// Whether the state in memory is still valid. If not, the stored state must be restored.
    keeps_state: bool,
}

fn rebalanced(why: &Cause, length: Duration) -> Pause {
    tracing::info!(reason = %why, "partitions were reassigned; the stored progress is restored");
    Pause { length, keeps_state: false }
}

/// Waits. Returns whether the notifier is to stop: then it does not try again.
async fn pause_or_stop(length: Duration, shutdown: &mut watch::Receiver<bool>) -> bool {
    let told_to_stop = async { while shutdown.changed().await.is_ok_and(|()| !*shutdown.borrow()) {} };
    tokio::time::timeout(length, told_to_stop).await.is_ok()
}
