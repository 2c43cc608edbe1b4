//! One cycle: the next batch is decided while the one before commits.
//!
//! ```text
//! read n+1, open its view, load its states ─┬─▶ decide n+1, look up its watchers ─┬─▶ n+1 is prepared
//!                       n is prepared ──────┴─▶ commit n, answer its records ─────┘
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pricedrop_decide::Teller;
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
use super::prepared::{Back, News, Prepared, commit};
use super::throttle::FailOpen;

/// Records a batch looks at, at the least. When one had no room for all, the
/// next looks at twice as many as were taken: each costs a look at its state.
const LEAST_RECORDS: usize = 32;

/// How a cycle went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cycle {
    /// A batch is decided, and nothing was committed yet.
    Begun,
    /// A batch was committed.
    Done,
    /// There is nothing to do.
    Idle,
    /// The input has ended, and everything is committed.
    Ended,
}

/// A batch to decide: everything that needs the committer is in hand.
struct Plan {
    taken: Vec<Incoming>,
    due: Vec<StateKey>,
    view: Box<dyn WatchView>,
    states: Vec<(StateKey, ProductState)>,
}

/// What comes next.
enum Next {
    Batch(Plan),
    Nothing,
    End,
}

/// What the notifier works with.
pub struct Ports {
    /// Where updates come from.
    pub source: Box<dyn UpdateSource>,
    /// Where batches go.
    pub committer: Box<dyn Committer>,
    /// Who watches.
    pub watches: Arc<dyn WatchStore>,
    /// The policies.
    pub plugins: Arc<dyn Plugins>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// One batch after the other, and what is kept between them.
pub struct Cycles {
    ports: Ports,
    options: Options,
    metrics: Metrics,
    fail_open: FailOpen,
    /// Records read and not yet taken by a batch.
    waiting: Waiting,
    /// How many of them the next batch looks at.
    batch_target: usize,
    /// Partitions of which no more records are asked for.
    held_back: Vec<Partition>,
    /// Up to and with the batch that is prepared.
    progress: InputProgress,
    /// The batch that is decided and goes to the committer next.
    prepared: Option<Prepared>,
    /// How far the last view's wall time was behind the clock, milliseconds.
    view_behind_ms: i64,
}

impl Cycles {
    /// Knows nothing of what is stored: restore comes first.
    pub fn new(ports: Ports, options: Options, metrics: Metrics) -> Cycles {
        Cycles {
            ports,
            metrics,
            fail_open: FailOpen::new(options.fail_open_per_second),
            waiting: Waiting::default(),
            batch_target: options.batch_records,
            options,
            held_back: Vec::new(),
            progress: InputProgress::default(),
            prepared: None,
            view_behind_ms: 0,
        }
    }

    /// Counts into these metrics.
    pub fn set_metrics(&mut self, metrics: Metrics) {
        self.metrics = metrics;
    }

    /// Goes back to what is stored.
    pub async fn restore(&mut self) -> Result<(), Failure> {
        self.metrics.restores.inc();
        self.prepared = None;
        self.waiting.clear();
        self.progress = InputProgress::default();
        let restored = self.ports.committer.restore().await?;
        self.progress = InputProgress::restored(&restored);
        Ok(())
    }

    /// Decides the next batch, if there is one, and commits the one before.
    pub async fn next(&mut self) -> Result<Cycle, Failure> {
        match self.begin().await {
            Ok(Next::Batch(plan)) => self.overlap(plan).await,
            Ok(Next::Nothing) if self.prepared.is_none() => Ok(Cycle::Idle),
            Ok(Next::Nothing) => self.commit_prepared().await.map(|()| Cycle::Done),
            Ok(Next::End) => Ok(Cycle::Ended),
            // What is prepared may be of partitions that went: they are restored.
            Err(failure @ Failure::Rebalanced(_)) => Err(failure),
            Err(failure) => self.commit_prepared().await.and(Err(failure)),
        }
    }

    async fn begin(&mut self) -> Result<Next, Failure> {
        let full = self.waiting.full(self.options.batch_records);
        if full != self.held_back {
            self.ports.source.hold_back(&full);
            self.held_back = full;
        }
        match self.ports.source.next_batch(self.room(), self.wait_ms()).await? {
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

    /// How many records may be handed out. A partition that waits for a fan-out
    /// takes no room from the others.
    fn room(&self) -> usize {
        let most = self.options.batch_records * self.progress.partitions().max(1);
        if self.waiting.len() < most { self.options.batch_records } else { 0 }
    }

    /// No wait while there is work; else until the next timer.
    fn wait_ms(&self) -> u64 {
        let work = self.waiting.len() > 0 || !self.progress.running.is_empty() || self.prepared.is_some();
        if work { 0 } else { self.timer_ms().unwrap_or(u64::MAX).min(self.options.idle_wait_ms) }
    }

    /// Until a view opened then sees the next timer run out.
    fn timer_ms(&self) -> Option<u64> {
        let now = self.ports.clock.now().0.saturating_sub(self.view_behind_ms);
        self.progress.next_due().map(|due| due.0.saturating_sub(now).max(0) as u64)
    }

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

    /// The next records, but none of a product whose fan-out is unfinished.
    fn take_records(&mut self) -> Vec<Incoming> {
        let telling = self.progress.telling();
        self.waiting.take(self.batch_target, |partition, product| {
            !telling.is_empty() && telling.contains(&(partition, product.clone()))
        })
    }

    /// A view, what is due by its time, and the states of every product the
    /// batch may touch: those that are prepared go before those that are stored.
    async fn open(
        &mut self,
        taken: &[Incoming],
    ) -> Result<(Box<dyn WatchView>, Vec<StateKey>, Vec<(StateKey, ProductState)>), Failure> {
        let view = self.ports.watches.view().await?;
        self.view_behind_ms = self.ports.clock.now().0.saturating_sub(view.wall_time().0).max(0);
        let due = self.progress.due(view.wall_time());
        let products = self.products(taken, &due);
        let listed: Vec<_> = products.iter().cloned().collect();
        let mut states = self.ports.committer.load(&listed).await?;
        if let Some(prepared) = &self.prepared {
            let ahead = prepared.commit.states.iter();
            // A later one of the same key replaces the earlier.
            states.extend(
                ahead.filter(|(key, _)| products.contains(&(key.partition, key.product.clone()))).cloned(),
            );
        }
        Ok((view, due, states))
    }

    fn products(&self, taken: &[Incoming], due: &[StateKey]) -> BTreeSet<(Partition, ProductId)> {
        let from_records = taken
            .iter()
            .filter_map(|incoming| Some((incoming.record.position.partition, incoming.product()?.clone())));
        let from_timers = due.iter().map(|key| (key.partition, key.product.clone()));
        from_records.chain(from_timers).chain(self.progress.telling()).collect()
    }

    /// Decides a batch while the one before commits. If that one fails both are
    /// thrown away, for the later may follow from it.
    async fn overlap(&mut self, mut plan: Plan) -> Result<Cycle, Failure> {
        let fail_open = self.fail_open;
        let (landing, back) = self.prepared.take().map(Prepared::split).unzip();
        let cycle = if landing.is_some() { Cycle::Done } else { Cycle::Begun };
        let running = &mut self.progress.running;
        let (landed, decided) = futures::join!(
            commit(
                &mut *self.ports.committer,
                &mut *self.ports.source,
                (&self.metrics, &*self.ports.clock),
                landing
            ),
            plan.decide(&self.options, &*self.ports.plugins, &self.metrics, running, &mut self.fail_open),
        );
        let lost = back.filter(|_| landed.is_err());
        match landed.and(decided) {
            Ok(decided) => self.prepare(plan.taken, decided, fail_open),
            Err(failure) => {
                self.waiting.put_back(plan.taken);
                self.fail_open = fail_open;
                self.take_back(lost);
                return Err(failure);
            }
        }
        match self.options.look_ahead {
            true => Ok(cycle),
            false => self.commit_prepared().await.map(|()| Cycle::Done),
        }
    }

    /// Moves on past a batch that is decided.
    fn prepare(&mut self, records: Vec<Incoming>, decided: Decided, fail_open: FailOpen) {
        let Decided { mut work, took } = decided;
        let mut took = took.into_iter();
        let (taken, left): (Vec<_>, Vec<_>) = records.into_iter().partition(|_| took.next() == Some(true));
        self.batch_target = match left.is_empty() {
            true => self.options.batch_records,
            false => self.options.batch_records.min(LEAST_RECORDS.max(taken.len() * 2)),
        };
        self.waiting.put_back(left);
        let before = self.progress.advance(&taken, &mut work);
        if work.commit.offsets.is_empty() {
            return;
        }
        let mismatches = taken.iter().filter(|one| self.options.keyed && one.is_key_mismatch()).count();
        let news = News {
            records: taken.len() as u64,
            key_mismatches: mismatches as u64,
            logged: taken.iter().map(|one| one.record.timestamp).collect(),
            outcomes: work.outcomes,
            drops: work.drops,
            forgotten: work.forgotten,
        };
        self.prepared = Some(Prepared { commit: work.commit, news, back: Back { taken, before, fail_open } });
    }

    /// Commits what is prepared, and nothing beside it.
    pub async fn commit_prepared(&mut self) -> Result<(), Failure> {
        let (landing, back) = self.prepared.take().map(Prepared::split).unzip();
        let landed = commit(
            &mut *self.ports.committer,
            &mut *self.ports.source,
            (&self.metrics, &*self.ports.clock),
            landing,
        )
        .await;
        self.take_back(back.filter(|_| landed.is_err()));
        landed
    }

    fn take_back(&mut self, back: Option<Back>) {
        let Some(Back { taken, before, fail_open }) = back else { return };
        self.waiting.put_back(taken);
        self.progress.go_back(before);
        self.fail_open = fail_open;
    }
}

impl Plan {
    async fn decide(
        &mut self,
        options: &Options,
        plugins: &dyn Plugins,
        metrics: &Metrics,
        running: &mut BTreeMap<StateKey, Option<Teller>>,
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
