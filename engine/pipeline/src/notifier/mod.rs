//! From an update to its fan-out: reads records, decides, looks up watchers,
//! commits, answers.
//!
//! ```text
//!          ┌─────────────── one cycle, one commit ────────────────┐
//! source ─▶ waiting ─▶ stale? ─▶ throttle ─▶ evaluate ─▶ read, tell ─▶ commit ─▶ settled
//!             ▲                      │                      │
//!             │         pending, due timers      unfinished fan-outs
//!             └── put back ◀──── nothing happened ◀─────────┤
//!                 restore  ◀──── outcome unknown  ◀─────────┘
//! ```
//!
//! Invariant: what a cycle changes lives in its [`batch::Batch`] until the
//! commit has it; a cycle that fails leaves nothing behind but records put back.

mod batch;
mod counters;
mod intake;
mod reading;
mod throttle;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pricedrop_decide::Teller;
use pricedrop_model::plugin::Plugins;
use pricedrop_model::seams::{CommitError, Committer, Error, UpdateSource, WatchStore};
use pricedrop_model::{Clock, Partition, Rules, StateKey, WallTime};
use std::sync::atomic::Ordering::Relaxed;
use tokio::sync::watch;

use batch::{Batch, Taken};
pub use counters::Counters;
use intake::Waiting;
use throttle::FailOpen;

/// How the notifier works; the defaults are its limits.
#[derive(Debug, Clone)]
pub struct Options {
    /// Who is told.
    pub rules: Rules,
    /// Most records a commit takes.
    pub batch_records: usize,
    /// Most watches a commit considers; a fan-out beyond is cut into chunks.
    pub commit_watches: usize,
    /// Most watches a page of a scan holds.
    pub page_rows: usize,
    /// Longest wait for records, milliseconds; timers are looked at that often.
    pub idle_wait_ms: u64,
    /// First and longest pause after a failure, milliseconds.
    pub pause_ms: (u64, u64),
    /// One in so many bucketed drops is compared with the plain range; 0: none.
    pub audit_one_in: u64,
    /// Most updates a second that a failing throttle lets pass.
    pub fail_open_per_second: u32,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            rules: Rules::default(),
            batch_records: 1_000,
            commit_watches: 20_000,
            page_rows: 5_000,
            idle_wait_ms: 500,
            pause_ms: (10, 5_000),
            audit_one_in: 1_000,
            fail_open_per_second: 1_000,
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
            options: self,
            counters: Arc::default(),
            waiting: Waiting::default(),
            running: BTreeMap::new(),
            timers: BTreeMap::new(),
            offsets: BTreeMap::new(),
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
enum Failure {
    /// Nothing happened: again, after a pause.
    Again(String),
    /// Something may have happened: restore, then go on.
    Restore(String),
    /// Stop.
    Stop(Stop),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        match error {
            Error::Unavailable(why) => Failure::Again(why),
            Error::Broken(why) => Failure::Stop(Stop::Broken(why)),
            Error::Moved(why) => Failure::Restore(why),
        }
    }
}

impl From<CommitError> for Failure {
    fn from(error: CommitError) -> Failure {
        match error {
            CommitError::Nothing(_) => Failure::Again(error.to_string()),
            CommitError::Unknown(_) | CommitError::Fenced(_) => Failure::Restore(error.to_string()),
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
    counters: Arc<Counters>,
    fail_open: FailOpen,
    /// Records read and not yet committed.
    waiting: Waiting,
    /// Unfinished fan-outs; without a teller it is rebuilt by reading again.
    running: BTreeMap<StateKey, Option<Teller>>,
    /// When the throttle is asked about held updates.
    timers: BTreeMap<StateKey, WallTime>,
    /// The next offset of each partition, as committed.
    offsets: BTreeMap<Partition, i64>,
}

impl Notifier {
    /// What it has done so far.
    pub fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
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
            let step = if restored { self.cycle().await } else { self.restore().await.map(|()| true) };
            match step {
                Ok(true) => {
                    restored = true;
                    pause.reset();
                    self.counters.set_trouble(None);
                }
                Ok(false) => break,
                Err(Failure::Stop(stop)) => {
                    self.counters.set_trouble(Some(stop.to_string()));
                    return Err(stop);
                }
                Err(Failure::Again(why)) => self.trouble(why, &mut pause).await,
                Err(Failure::Restore(why)) => {
                    restored = false;
                    self.trouble(why, &mut pause).await;
                }
            }
        }
        Ok(())
    }

    async fn trouble(&mut self, why: String, pause: &mut Pause) {
        tracing::warn!(reason = %why, "paused");
        self.counters.set_trouble(Some(why));
        // A teller may have gone further than what was committed.
        self.running.values_mut().for_each(|teller| *teller = None);
        tokio::time::sleep(pause.next()).await;
    }

    /// Goes back to what is stored.
    async fn restore(&mut self) -> Result<(), Failure> {
        self.counters.restores.fetch_add(1, Relaxed);
        let restored = self.committer.restore().await?;
        self.waiting.clear();
        self.running.clear();
        self.timers.clear();
        self.offsets = restored.offsets.iter().copied().collect();
        for (key, state) in &restored.unfinished {
            self.remember_unfinished(key, state);
        }
        self.source.rewind(&restored.offsets);
        Ok(())
    }

    /// One commit's worth of work; false when the input has ended.
    async fn cycle(&mut self) -> Result<bool, Failure> {
        if self.waiting.len() < self.options.batch_records {
            match self.source.next_batch(self.options.batch_records, self.wait_ms()).await? {
                Some(records) => self.waiting.push(records),
                None if self.waiting.len() == 0 && self.running.is_empty() => return Ok(false),
                None => {}
            }
        }
        let mut taken = self.take_records();
        let worked = self.work(&taken).await;
        self.waiting.put_back(taken.split_off(*worked.as_ref().unwrap_or(&0)));
        worked.map(|_| true)
    }

    /// No wait while there is work; else until the next timer.
    fn wait_ms(&self) -> u64 {
        if self.waiting.len() > 0 || !self.running.is_empty() {
            return 0;
        }
        let now = self.clock.now().0;
        let due = self.timers.values().min().map(|due| due.0.saturating_sub(now).max(0) as u64);
        due.unwrap_or(u64::MAX).min(self.options.idle_wait_ms)
    }

    /// The next records, but none of a product whose fan-out is unfinished.
    fn take_records(&mut self) -> Vec<intake::Incoming> {
        let running: std::collections::BTreeSet<_> =
            self.running.keys().map(|key| (key.partition, key.product.clone())).collect();
        self.waiting.take(self.options.batch_records, |partition, product| {
            !running.is_empty() && running.contains(&(partition, product.clone()))
        })
    }

    /// Decides and commits; says how many of the records that took.
    async fn work(&mut self, taken: &[intake::Incoming]) -> Result<usize, Failure> {
        let mut view = self.watches.view().await?;
        let now = view.wall_time();
        let due: Vec<StateKey> =
            self.timers.iter().filter(|(_, due)| **due <= now).map(|(key, _)| key.clone()).collect();
        if taken.is_empty() && due.is_empty() && self.running.is_empty() {
            return Ok(0);
        }
        let states = self.load(taken, &due).await?;
        let mut batch = Batch::new(&self.options, &mut *view, &*self.plugins, &self.counters, states);
        batch.go_on(&mut self.running).await?;
        batch.release_due(&due).await?;
        let count = batch.take(taken, &mut self.fail_open).await?;
        let work = batch.done();
        self.commit(&taken[..count], work).await?;
        Ok(count)
    }

    /// The states of every product this cycle may touch.
    async fn load(
        &mut self,
        taken: &[intake::Incoming],
        due: &[StateKey],
    ) -> Result<Vec<(StateKey, pricedrop_model::ProductState)>, Failure> {
        let from_records = taken
            .iter()
            .filter_map(|incoming| Some((incoming.record.position.partition, incoming.product()?.clone())));
        let from_keys = due.iter().chain(self.running.keys()).map(|key| (key.partition, key.product.clone()));
        let products: std::collections::BTreeSet<_> = from_records.chain(from_keys).collect();
        Ok(self.committer.load(&products.into_iter().collect::<Vec<_>>()).await?)
    }

    async fn commit(&mut self, taken: &[intake::Incoming], mut work: batch::Work) -> Result<(), Failure> {
        let mut offsets = self.offsets.clone();
        for Taken { partition, next } in batch::taken_up_to(taken) {
            offsets.insert(partition, next);
        }
        let touched = |partition: &Partition| {
            work.commit.states.iter().any(|(key, _)| key.partition == *partition)
                || self.offsets.get(partition) != offsets.get(partition)
        };
        let touched = offsets.iter().filter(|(partition, _)| touched(partition));
        work.commit.offsets = touched.map(|(partition, next)| (*partition, *next)).collect();
        let unfinished: Vec<_> =
            work.commit.states.iter().map(|(key, state)| (key.clone(), unfinished(state))).collect();
        let begun = Instant::now();
        if !work.commit.offsets.is_empty() {
            self.committer.commit(work.commit).await?;
            self.counters.commits.fetch_add(1, Relaxed);
            self.counters.commit_micros.fetch_add(begun.elapsed().as_micros() as u64, Relaxed);
        }
        self.offsets = offsets;
        self.counters.records.fetch_add(taken.len() as u64, Relaxed);
        for (key, (fan_out, due)) in unfinished {
            let teller = work.tellers.remove(&key);
            update(&mut self.running, &key, fan_out.then_some(teller));
            update(&mut self.timers, &key, due);
        }
        self.counters.ledger_overflows.fetch_add(work.forgotten, Relaxed);
        work.outcomes.iter().for_each(|(_, outcome)| self.counters.count(outcome));
        for (told, told_before) in work.drops {
            self.counters.count_drop(told, told_before);
        }
        self.source.settled(work.outcomes);
        Ok(())
    }

    fn remember_unfinished(&mut self, key: &StateKey, state: &pricedrop_model::ProductState) {
        let (fan_out, due) = unfinished(state);
        update(&mut self.running, key, fan_out.then_some(None));
        update(&mut self.timers, key, due);
    }
}

/// Whether a fan-out is unfinished, and when the throttle is asked.
fn unfinished(state: &pricedrop_model::ProductState) -> (bool, Option<WallTime>) {
    (state.fan_out.is_some(), state.pending.as_ref().map(|pending| pending.due))
}

fn update<V>(map: &mut BTreeMap<StateKey, V>, key: &StateKey, value: Option<V>) {
    match value {
        Some(value) => map.insert(key.clone(), value),
        None => map.remove(key),
    };
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
