//! From an update to its fan-out: reads records, decides, looks up watchers,
//! commits, answers.
//!
//! ```text
//! source ─▶ waiting ─▶ stale? ─▶ throttle ─▶ evaluate ─▶ read, tell ─▶ prepared ─▶ commit ─▶ settled
//!             ▲                      │                      │                        │
//!             │         pending, due timers      unfinished fan-outs                 │
//!             └── put back, both batches ◀── nothing happened ◀──────────────────────┤
//!                 restore  ◀──── outcome unknown, partitions moved ◀─────────────────┘
//! ```
//!
//! While one batch commits, the next is decided, from the states as the first
//! leaves them. Both run in one task and share nothing: no lock, no thread.
//!
//! Invariant: what a cycle changes lives in its [`batch::Batch`] until it is
//! decided, and in one prepared batch until the commit has it. At most one batch
//! is prepared. A cycle that fails leaves nothing behind but records put back;
//! a commit that fails takes the batch decided beside it along.
//!
//! Invariant: nothing is told of a record before its commit, and nothing waits
//! but for its own: a prepared batch is committed as soon as the input has
//! nothing more at hand, and answered while the next is still being decided.

mod ahead;
mod batch;
mod cycle;
mod intake;
mod metrics;
mod reading;
mod standing;
mod throttle;
mod trouble;

use std::sync::Arc;
use std::time::Duration;

use pricedrop_model::plugin::Plugins;
use pricedrop_model::ports::{CommitError, Committer, Error, UpdateSource, WatchStore};
use pricedrop_model::{Clock, Partition, Rules};
use tokio::sync::watch;

use cycle::{Cycle, Prepared};
use intake::Waiting;
pub use metrics::Metrics;
use standing::Standing;
use throttle::FailOpen;
pub use trouble::Trouble;

/// How the notifier works; the defaults are its limits.
#[derive(Debug, Clone)]
pub struct Options {
    /// Who is told.
    pub rules: Rules,
    /// Most records a commit takes.
    pub batch_records: usize,
    /// Most watches a commit considers; a fan-out beyond is cut into chunks.
    pub commit_watches: usize,
    /// Longest time a commit considers watches, milliseconds; then it is cut as
    /// if it were too large.
    pub commit_ms: u64,
    /// Most watches a page of a scan holds.
    pub page_rows: usize,
    /// Longest wait for records, milliseconds; timers are looked at that often.
    pub idle_wait_ms: u64,
    /// First and longest pause after a failure, milliseconds.
    pub pause_ms: (u64, u64),
    /// One in so many bucketed drops is compared with the plain range; 0: none.
    pub audit_sample_rate: u64,
    /// Most updates a second that a failing throttle lets pass.
    pub fail_open_per_second: u32,
    /// Whether records should have their product as the key: one that has not may
    /// lie in another partition than its product's others.
    pub keyed: bool,
    /// Whether the next batch is decided while one commits. Not for an input
    /// whose next record depends on what became of the last.
    pub look_ahead: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            rules: Rules::default(),
            batch_records: 1_000,
            commit_watches: 100_000,
            commit_ms: 250,
            page_rows: 5_000,
            idle_wait_ms: 500,
            pause_ms: (10, 5_000),
            audit_sample_rate: 1_000,
            fail_open_per_second: 1_000,
            keyed: false,
            look_ahead: true,
        }
    }
}

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
        Notifier {
            source,
            committer,
            watches,
            plugins,
            clock,
            fail_open: FailOpen::new(self.fail_open_per_second),
            appetite: self.batch_records,
            options: self,
            metrics: Metrics::default(),
            trouble: Trouble::default(),
            waiting: Waiting::default(),
            held_back: Vec::new(),
            standing: Standing::default(),
            prepared: None,
            view_behind_ms: 0,
            fenced: false,
        }
    }
}

/// Why the notifier stopped.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// Somebody has to look at the store.
    #[error("{0}")]
    Broken(String),
}

/// Why a cycle failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// Nothing happened: again, after a pause.
    #[error("{0}")]
    Again(String),
    /// Something may have happened: restore, then go on.
    #[error("{0}")]
    Restore(String),
    /// Partitions came or went: restore at once.
    #[error("{0}")]
    Moved(String),
    /// The work belongs to somebody else: most likely partitions went.
    #[error("{0}")]
    Fenced(String),
    /// Stop.
    #[error(transparent)]
    Stop(Stop),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        match error {
            Error::Unavailable(why) => Failure::Again(why),
            Error::Broken(why) => Failure::Stop(Stop::Broken(why)),
            Error::Moved(why) => Failure::Moved(why),
        }
    }
}

impl From<CommitError> for Failure {
    fn from(error: CommitError) -> Failure {
        match error {
            CommitError::Nothing(_) => Failure::Again(error.to_string()),
            CommitError::Unknown(_) => Failure::Restore(error.to_string()),
            CommitError::Fenced(_) => Failure::Fenced(error.to_string()),
        }
    }
}

/// The loop. One per set of partitions; it owns their product states.
pub struct Notifier {
    source: Box<dyn UpdateSource>,
    committer: Box<dyn Committer>,
    watches: Arc<dyn WatchStore>,
    plugins: Arc<dyn Plugins>,
    clock: Arc<dyn Clock>,
    options: Options,
    metrics: Metrics,
    trouble: Trouble,
    fail_open: FailOpen,
    /// Records read and not yet taken by a batch.
    waiting: Waiting,
    /// How many of them the next batch looks at.
    appetite: usize,
    /// Partitions of which no more records are asked for.
    held_back: Vec<Partition>,
    /// Up to and with the batch that is prepared.
    standing: Standing,
    /// The batch that is decided and goes to the committer next.
    prepared: Option<Prepared>,
    /// How far the last view's wall time was behind the clock, milliseconds.
    view_behind_ms: i64,
    /// Whether it was fenced off since its last commit.
    fenced: bool,
}

impl Notifier {
    /// Counts in these metrics, which several notifiers may share.
    pub fn with_metrics(self, metrics: Metrics) -> Notifier {
        Notifier { metrics, ..self }
    }

    /// What it has done so far.
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// What keeps it from working, from now on.
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
        let mut pause = Pause::new(self.options.pause_ms);
        while !*shutdown.borrow() {
            let step =
                if restored { self.cycle().await } else { self.restore().await.map(|()| Cycle::Begun) };
            restored = match step {
                Ok(Cycle::Ended) => break,
                Ok(Cycle::Begun) => true,
                Ok(cycle) => {
                    if cycle == Cycle::Done {
                        pause.reset();
                        self.fenced = false;
                    }
                    self.trouble.set(None);
                    true
                }
                Err(failure) => self.mend(failure, restored, &mut pause).await? && restored,
            };
        }
        if let Err(failure) = self.land().await {
            tracing::warn!(reason = %failure, "stopping; what was begun is done after the next start");
        }
        Ok(())
    }

    /// After a failure of a cycle, or of restoring; false: what is stored must be
    /// restored.
    async fn mend(&mut self, failure: Failure, restored: bool, pause: &mut Pause) -> Result<bool, Stop> {
        let (why, restored) = match failure {
            Failure::Stop(stop) => {
                self.trouble.set(Some(stop.to_string()));
                return Err(stop);
            }
            Failure::Moved(why) => {
                // Whoever restored only to hear that has to let the move go on.
                if !restored {
                    tokio::time::sleep(Duration::from_millis(self.options.pause_ms.0)).await;
                }
                return Ok(moved(&why));
            }
            // Partitions moved; but twice with no commit in between is no move.
            Failure::Fenced(why) if !std::mem::replace(&mut self.fenced, true) => return Ok(moved(&why)),
            Failure::Again(why) => (why, true),
            Failure::Fenced(why) | Failure::Restore(why) => (why, false),
        };
        tracing::warn!(reason = %why, "paused");
        self.trouble.set(Some(why));
        tokio::time::sleep(pause.next()).await;
        Ok(restored)
    }

    /// Goes back to what is stored.
    async fn restore(&mut self) -> Result<(), Failure> {
        self.metrics.restores.inc();
        self.prepared = None;
        self.waiting.clear();
        self.standing = Standing::default();
        let restored = self.committer.restore().await?;
        self.standing = Standing::restored(&restored);
        self.source.rewind(&restored.offsets);
        Ok(())
    }
}

fn moved(why: &str) -> bool {
    tracing::info!(reason = %why, "partitions moved; going on with those there are now");
    false
}

/// A pause that doubles.
struct Pause {
    first_ms: u64,
    longest_ms: u64,
    next_ms: u64,
}

impl Pause {
    fn new((first_ms, longest_ms): (u64, u64)) -> Pause {
        Pause { first_ms, longest_ms, next_ms: first_ms }
    }

    fn reset(&mut self) {
        self.next_ms = self.first_ms;
    }

    fn next(&mut self) -> Duration {
        let pause = self.next_ms;
        self.next_ms = (pause * 2).min(self.longest_ms);
        Duration::from_millis(pause)
    }
}
