//! One cycle of the notifier: decides the next batch while the previous one commits.
//!
//! ```text
//! read n+1, open its view, load its states ─┬─▶ decide n+1, look up its watchers ─┬─▶ n+1 is prepared
//!                       n is prepared ──────┴─▶ commit n, answer its records ─────┘
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pricedrop_decide::Matcher;
use pricedrop_model::plugin::Plugins;
use pricedrop_model::ports::{Committer, UpdateSource, WatchStore, WatchView};
use pricedrop_model::{Clock, Partition, ProductId, ProductState, StateKey};

use super::batch::Batch;
use super::decided::Decided;
use super::error::Failure;
use super::input_progress::InputProgress;
use super::intake::{Incoming, Waiting};
use super::metrics::Metrics;
use super::options::Options;
use super::prepared::{CommitReport, Prepared, Undo, commit};
use super::throttle::FailOpen;

/// Lower bound of `batch_target`. After a batch that could not take all its records, the next is
/// offered twice as many as were taken, because the state of each has to be loaded.
const MIN_BATCH_TARGET: usize = 32;

/// The result of a cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cycle {
    /// A batch is decided, and nothing was committed yet.
    Begun,
    /// A batch was committed.
    Done,
    /// There was nothing to do.
    Idle,
    /// The input has ended, and everything is committed.
    Ended,
}

/// A batch to decide. The states are loaded already, because the committer is busy while it is
/// decided.
struct Plan {
    taken: Vec<Incoming>,
    due: Vec<StateKey>,
    view: Box<dyn WatchView>,
    states: Vec<(StateKey, ProductState)>,
}

/// What the cycle has to do.
enum Next {
    Batch(Plan),
    Nothing,
    End,
}

/// The ports that the notifier uses.
pub struct Ports {
    /// The input.
    pub source: Box<dyn UpdateSource>,
    /// Loads states and commits batches.
    pub committer: Box<dyn Committer>,
    /// The watches.
    pub watches: Arc<dyn WatchStore>,
    /// The bucketing and throttling policies.
    pub plugins: Arc<dyn Plugins>,
    /// The clock for wall times.
    pub clock: Arc<dyn Clock>,
}

/// Runs cycles one after the other, and holds what is kept between them.
pub struct Cycles {
    ports: Ports,
    options: Options,
    metrics: Metrics,
    fail_open: FailOpen,
    /// Records read and not yet taken by a batch.
    waiting: Waiting,
    /// How many of them are offered to the next batch.
    batch_target: usize,
    /// Partitions with enough waiting records; the source returns no more of them.
    held_back: Vec<Partition>,
    /// Fan-outs, timers and offsets, including those of the prepared batch.
    progress: InputProgress,
    /// The batch that is decided and not yet being committed.
    prepared: Option<Prepared>,
    /// How much the last view's wall time lagged the clock, milliseconds.
    view_lag_ms: i64,
}

impl Cycles {
    /// [`restore`](Cycles::restore) has to be called before the first cycle.
    pub fn new(ports: Ports, options: Options, metrics: Metrics) -> Cycles {
        Cycles {
            ports,
            metrics,
            fail_open: FailOpen::new(options.fail_open_per_second),
            waiting: Waiting::new(options.rules.round_decimals),
            batch_target: options.batch_records,
            options,
            held_back: Vec::new(),
            progress: InputProgress::default(),
            prepared: None,
            view_lag_ms: 0,
        }
    }

    /// Replaces the metrics.
    pub fn set_metrics(&mut self, metrics: Metrics) {
        self.metrics = metrics;
    }

    /// Drops everything in memory and restores it from what is stored.
    pub async fn restore(&mut self) -> Result<(), Failure> {
        self.metrics.restores.inc();
        self.prepared = None;
        self.waiting.clear();
        self.progress = InputProgress::default();
        let restored = self.ports.committer.restore().await?;
        self.progress = InputProgress::restored(&restored);
        Ok(())
    }

    /// Decides the next batch, if there is one, and commits the prepared one.
    pub async fn next(&mut self) -> Result<Cycle, Failure> {
        match self.begin().await {
            Ok(Next::Batch(plan)) => self.overlap(plan).await,
            Ok(Next::Nothing) if self.prepared.is_none() => Ok(Cycle::Idle),
            Ok(Next::Nothing) => self.commit_prepared().await.map(|()| Cycle::Done),
            Ok(Next::End) => Ok(Cycle::Ended),
            // The prepared batch may contain revoked partitions. The caller restores.
            Err(failure @ Failure::Rebalanced(_)) => Err(failure),
            Err(failure) => self.commit_prepared().await.and(Err(failure)),
        }
    }

    /// Reads records and says what the cycle has to do.
    async fn begin(&mut self) -> Result<Next, Failure> {
        let full = self.waiting.full(self.options.batch_records);
        if full != self.held_back {
            self.ports.source.hold_back(&full);
            self.held_back = full;
        }
        match self.ports.source.next_batch(self.records_wanted(), self.wait_ms()).await? {
            Some(records) => self.waiting.push(records),
            None if self.waiting.len() == 0
                && self.progress.running.is_empty()
                && self.prepared.is_none() =>
            {
                return Ok(Next::End);
            }
            None => {}
        }
        self.plan().await
    }

    /// How many records the source may return. The limit grows with the number of partitions, so
    /// a partition that waits for its fan-out takes no capacity from others.
    fn records_wanted(&self) -> usize {
        let most = self.options.batch_records * self.progress.partitions().max(1);
        if self.waiting.len() < most { self.options.batch_records } else { 0 }
    }

    /// How long to wait for records, milliseconds: 0 while there is work, else until the next timer,
    /// at most `idle_wait_ms`.
    fn wait_ms(&self) -> u64 {
        let work = self.waiting.len() > 0 || !self.progress.running.is_empty() || self.prepared.is_some();
        if work { 0 } else { self.timer_ms().unwrap_or(u64::MAX).min(self.options.idle_wait_ms) }
    }

    /// Milliseconds until the next timer is due by the wall time of a view. `None` without timers.
    fn timer_ms(&self) -> Option<u64> {
        let now = self.ports.clock.now().0.saturating_sub(self.view_lag_ms);
        self.progress.next_due().map(|due| due.0.saturating_sub(now).max(0) as u64)
    }

    /// Takes records and opens a view for them. If that fails, the records are put back.
    async fn plan(&mut self) -> Result<Next, Failure> {
        let taken = self.take_records();
        if taken.is_empty() && self.progress.running.is_empty() && self.timer_ms() != Some(0) {
            return Ok(Next::Nothing);
        }
        match self.open(&taken).await {
            Ok((_, due, _)) if taken.is_empty() && due.is_empty() && self.progress.running.is_empty() => {
                Ok(Next::Nothing)
            }
            Ok((view, due, states)) => Ok(Next::Batch(Plan { taken, due, view, states })),
            Err(failure) => {
                self.waiting.put_back(taken);
                Err(failure)
            }
        }
    }

    /// Takes the next records. Stops in each partition at a product whose fan-out is unfinished.
    fn take_records(&mut self) -> Vec<Incoming> {
        let fanning_out = self.progress.fanning_out();
        self.waiting.take(self.batch_target, |partition, product| {
            !fanning_out.is_empty() && fanning_out.contains(&(partition, product.clone()))
        })
    }

    /// Opens a view. Returns it with the timers due by its wall time and the states of every product
    /// that the batch may change. States of the prepared batch replace stored ones.
    async fn open(
        &mut self,
        taken: &[Incoming],
    ) -> Result<(Box<dyn WatchView>, Vec<StateKey>, Vec<(StateKey, ProductState)>), Failure> {
        let view = self.ports.watches.view().await?;
        self.view_lag_ms = self.ports.clock.now().0.saturating_sub(view.wall_time().0).max(0);
        let due = self.progress.due(view.wall_time());
        let products = self.products(taken, &due);
        let listed: Vec<_> = products.iter().cloned().collect();
        let mut states = self.ports.committer.load(&listed).await?;
        if let Some(prepared) = &self.prepared {
            let prepared_states = prepared.commit.states.iter();
            // `States::new` keeps the last one of each key.
            states.extend(
                prepared_states
                    .filter(|(key, _)| products.contains(&(key.partition, key.product.clone())))
                    .cloned(),
            );
        }
        Ok((view, due, states))
    }

    /// Every product of these records, due timers and unfinished fan-outs.
    fn products(&self, taken: &[Incoming], due: &[StateKey]) -> BTreeSet<(Partition, ProductId)> {
        let from_records = taken
            .iter()
            .filter_map(|incoming| Some((incoming.record.position.partition, incoming.product()?.clone())));
        let from_timers = due.iter().map(|key| (key.partition, key.product.clone()));
        from_records.chain(from_timers).chain(self.progress.fanning_out()).collect()
    }

    /// Decides a batch while the prepared one commits. If the commit fails, both batches are put back,
    /// because the second was decided from the states of the first.
    async fn overlap(&mut self, mut plan: Plan) -> Result<Cycle, Failure> {
        let fail_open = self.fail_open;
        let (committing, undo) = self.prepared.take().map(Prepared::split).unzip();
        let cycle = if committing.is_some() { Cycle::Done } else { Cycle::Begun };
        let running = &mut self.progress.running;
        let (committed, decided) = futures::join!(
            commit(
                &mut *self.ports.committer,
                &mut *self.ports.source,
                (&self.metrics, &*self.ports.clock),
                committing
            ),
            plan.decide(&self.options, &*self.ports.plugins, &self.metrics, running, &mut self.fail_open),
        );
        let lost = undo.filter(|_| committed.is_err());
        match committed.and(decided) {
            Ok(decided) => self.prepare(plan.taken, decided, fail_open),
            Err(failure) => {
                self.waiting.put_back(plan.taken);
                self.fail_open = fail_open;
                self.undo(lost);
                return Err(failure);
            }
        }
        match self.options.look_ahead {
            true => Ok(cycle),
            false => self.commit_prepared().await.map(|()| Cycle::Done),
        }
    }

    /// Makes a decided batch the prepared one, and puts back the records that it did not take.
    fn prepare(&mut self, records: Vec<Incoming>, decided: Decided, fail_open: FailOpen) {
        let Decided { mut work, took } = decided;
        let mut took = took.into_iter();
        let (taken, not_taken): (Vec<_>, Vec<_>) =
            records.into_iter().partition(|_| took.next() == Some(true));
        self.batch_target = match not_taken.is_empty() {
            true => self.options.batch_records,
            false => self.options.batch_records.min(MIN_BATCH_TARGET.max(taken.len() * 2)),
        };
        self.waiting.put_back(not_taken);
        let before = self.progress.advance(&taken, &mut work);
        if work.commit.offsets.is_empty() {
            return;
        }
        let mismatches = taken.iter().filter(|one| self.options.keyed && one.is_key_mismatch()).count();
        let report = CommitReport {
            records: taken.len() as u64,
            key_mismatches: mismatches as u64,
            logged: taken.iter().map(|one| one.record.timestamp).collect(),
            outcomes: work.outcomes,
            drops: work.drops,
            forgotten: work.forgotten,
            future: work.future,
        };
        self.prepared =
            Some(Prepared { commit: work.commit, report, undo: Undo { taken, before, fail_open } });
    }

    /// Commits the prepared batch, if there is one, without deciding another meanwhile.
    pub async fn commit_prepared(&mut self) -> Result<(), Failure> {
        let (committing, undo) = self.prepared.take().map(Prepared::split).unzip();
        let committed = commit(
            &mut *self.ports.committer,
            &mut *self.ports.source,
            (&self.metrics, &*self.ports.clock),
            committing,
        )
        .await;
        self.undo(undo.filter(|_| committed.is_err()));
        committed
    }

    /// Undoes a batch that was not committed: its records, its progress, its throttle cap.
    fn undo(&mut self, undo: Option<Undo>) {
        let Some(Undo { taken, before, fail_open }) = undo else { return };
        self.waiting.put_back(taken);
        self.progress.roll_back(before);
        self.fail_open = fail_open;
    }
}

impl Plan {
    /// Decides the batch: unfinished fan-outs first, then due timers, then records.
    async fn decide(
        &mut self,
        options: &Options,
        plugins: &dyn Plugins,
        metrics: &Metrics,
        running: &mut BTreeMap<StateKey, Option<Matcher>>,
        fail_open: &mut FailOpen,
    ) -> Result<Decided, Failure> {
        let states = std::mem::take(&mut self.states);
        let mut batch = Batch::new(options, &mut *self.view, plugins, metrics, states);
        batch.resume_fan_outs(running, !self.taken.is_empty()).await?;
        batch.release_due(&self.due).await?;
        let took = batch.take(&self.taken, fail_open).await?;
        Ok(Decided { work: batch.done(), took })
    }
}
