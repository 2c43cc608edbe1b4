//! The loop of the notifier, and what it does after a failure.

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
    /// Puts a notifier together.
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

/// The loop. One per set of partitions; it owns their product states.
pub struct Notifier {
    cycles: Cycles,
    metrics: Metrics,
    trouble: Trouble,
    /// First and longest pause after a failure, milliseconds.
    pause_ms: (u64, u64),
    /// Whether it was fenced off since its last commit.
    fenced: bool,
}

impl Notifier {
    /// Counts into these metrics: the notifiers of a process share them.
    pub fn with_metrics(mut self, metrics: Metrics) -> Notifier {
        self.cycles.set_metrics(metrics.clone());
        Notifier { metrics, ..self }
    }

    /// What it counts.
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// What keeps it from working.
    pub fn trouble(&self) -> Trouble {
        self.trouble.clone()
    }

    /// Works until the input ends, or until `shutdown` turns true: then it
    /// commits what it has begun, and returns.
    ///
    /// # Errors
    /// The store needs somebody to look at it.
    pub async fn run(mut self, shutdown: watch::Receiver<bool>) -> Result<(), Stop> {
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
                Err(failure) => self.recover(failure, restored, &mut backoff).await? && restored,
            };
        }
        if let Err(failure) = self.cycles.commit_prepared().await {
            tracing::warn!(reason = %failure, "stopping; what was begun is done after the next start");
        }
        Ok(())
    }

    /// After a failure of a cycle, or of restoring; false: what is stored must be
    /// restored.
    async fn recover(
        &mut self,
        failure: Failure,
        restored: bool,
        backoff: &mut Backoff,
    ) -> Result<bool, Stop> {
        let (why, restored) = match failure {
            Failure::Stop(stop) => {
                self.trouble.set(Some(stop.to_string()));
                return Err(stop);
            }
            Failure::Rebalanced(why) => {
                // Whoever restored only to hear that has to let the move go on.
                if !restored {
                    tokio::time::sleep(Duration::from_millis(self.pause_ms.0)).await;
                }
                return Ok(moved(&why));
            }
            // Partitions moved; but twice with no commit in between is no move.
            Failure::Fenced(why) if !std::mem::replace(&mut self.fenced, true) => return Ok(moved(&why)),
            Failure::Again(why) => (why, true),
            Failure::Fenced(why) | Failure::Restore(why) => (why, false),
        };
        tracing::warn!(reason = %why, "paused");
        self.trouble.set(Some(why.to_string()));
        tokio::time::sleep(backoff.next_pause()).await;
        Ok(restored)
    }
}

fn moved(why: &Cause) -> bool {
    tracing::info!(reason = %why, "partitions moved; going on with those there are now");
    false
}
