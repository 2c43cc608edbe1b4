//! One cycle: the next batch is decided while the one before commits.
//!
//! ```text
//! read n+1, open its view, load its states ─┬─▶ decide n+1, look up its watchers ─┬─▶ n+1 is prepared
//!                       n is prepared ──────┴─▶ commit n, answer its records ─────┘
//! ```

use std::collections::BTreeSet;
use std::time::Instant;

use pricedrop_decide::Teller;
use pricedrop_model::plugin::Plugins;
use pricedrop_model::ports::{Commit, Committer, Outcome, UpdateSource, WatchView};
use pricedrop_model::{Clock, EventTime, Partition, Position, ProductId, ProductState, StateKey};
use std::collections::BTreeMap;

use super::batch::{Batch, Decided};
use super::intake::Incoming;
use super::standing::Before;
use super::throttle::FailOpen;
use super::{Failure, Metrics, Notifier, Options};

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

/// A batch that is decided and not committed.
pub struct Prepared {
    commit: Commit,
    news: News,
    back: Back,
}

/// What is told of a batch once it is committed.
struct News {
    records: u64,
    key_mismatches: u64,
    /// When its records entered the log.
    logged: Vec<EventTime>,
    outcomes: Vec<(Position, Outcome)>,
    drops: Vec<(u64, bool)>,
    forgotten: u64,
}

/// What takes a batch back that was not committed.
struct Back {
    taken: Vec<Incoming>,
    before: Before,
    fail_open: FailOpen,
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

impl Notifier {
    /// Decides the next batch, if there is one, and commits the one before.
    pub(super) async fn cycle(&mut self) -> Result<Cycle, Failure> {
        match self.begin().await {
            Ok(Next::Batch(plan)) => self.overlap(plan).await,
            Ok(Next::Nothing) if self.prepared.is_none() => Ok(Cycle::Idle),
            Ok(Next::Nothing) => self.land().await.map(|()| Cycle::Done),
            Ok(Next::End) => Ok(Cycle::Ended),
            // What is prepared may be of partitions that went: they are restored.
            Err(failure @ Failure::Moved(_)) => Err(failure),
            Err(failure) => self.land().await.and(Err(failure)),
        }
    }

    async fn begin(&mut self) -> Result<Next, Failure> {
        let full = self.waiting.full(self.options.batch_records);
        if full != self.held_back {
            self.source.hold_back(&full);
            self.held_back = full;
        }
        match self.source.next_batch(self.room(), self.wait_ms()).await? {
            Some(records) => self.waiting.push(records),
            None if self.waiting.len() == 0
                && self.standing.running.is_empty()
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
        let most = self.options.batch_records * self.standing.partitions().max(1);
        if self.waiting.len() < most { self.options.batch_records } else { 0 }
    }

    /// No wait while there is work; else until the next timer.
    fn wait_ms(&self) -> u64 {
        let work = self.waiting.len() > 0 || !self.standing.running.is_empty() || self.prepared.is_some();
        if work { 0 } else { self.timer_ms().unwrap_or(u64::MAX).min(self.options.idle_wait_ms) }
    }

    /// Until a view opened then sees the next timer run out.
    fn timer_ms(&self) -> Option<u64> {
        let now = self.clock.now().0.saturating_sub(self.view_behind_ms);
        self.standing.next_due().map(|due| due.0.saturating_sub(now).max(0) as u64)
    }

    async fn plan(&mut self) -> Result<Next, Failure> {
        let taken = self.take_records();
        if taken.is_empty() && self.standing.running.is_empty() && self.timer_ms() != Some(0) {
            return Ok(Next::Nothing);
        }
        match self.open(&taken).await {
            Ok((_, due, _)) if taken.is_empty() && due.is_empty() && self.standing.running.is_empty() => {
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
        let telling = self.standing.telling();
        self.waiting.take(self.appetite, |partition, product| {
            !telling.is_empty() && telling.contains(&(partition, product.clone()))
        })
    }

    /// A view, what is due by its time, and the states of every product the
    /// batch may touch: those that are prepared go before those that are stored.
    async fn open(
        &mut self,
        taken: &[Incoming],
    ) -> Result<(Box<dyn WatchView>, Vec<StateKey>, Vec<(StateKey, ProductState)>), Failure> {
        let view = self.watches.view().await?;
        self.view_behind_ms = self.clock.now().0.saturating_sub(view.wall_time().0).max(0);
        let due = self.standing.due(view.wall_time());
        let products = self.products(taken, &due);
        let listed: Vec<_> = products.iter().cloned().collect();
        let mut states = self.committer.load(&listed).await?;
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
        from_records.chain(from_timers).chain(self.standing.telling()).collect()
    }

    /// Decides a batch while the one before commits. If that one fails both are
    /// thrown away, for the later may follow from it.
    async fn overlap(&mut self, mut plan: Plan) -> Result<Cycle, Failure> {
        let fail_open = self.fail_open;
        let (landing, back) = self.prepared.take().map(Prepared::split).unzip();
        let cycle = if landing.is_some() { Cycle::Done } else { Cycle::Begun };
        let running = &mut self.standing.running;
        let (landed, decided) = futures::join!(
            land(&mut *self.committer, &mut *self.source, &self.metrics, &*self.clock, landing),
            plan.decide(&self.options, &*self.plugins, &self.metrics, running, &mut self.fail_open),
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
            false => self.land().await.map(|()| Cycle::Done),
        }
    }

    /// Moves on past a batch that is decided.
    fn prepare(&mut self, records: Vec<Incoming>, decided: Decided, fail_open: FailOpen) {
        let Decided { mut work, took } = decided;
        let mut took = took.into_iter();
        let (taken, left): (Vec<_>, Vec<_>) = records.into_iter().partition(|_| took.next() == Some(true));
        self.appetite = match left.is_empty() {
            true => self.options.batch_records,
            false => self.options.batch_records.min(LEAST_RECORDS.max(taken.len() * 2)),
        };
        self.waiting.put_back(left);
        let before = self.standing.advance(&taken, &mut work);
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
    pub(super) async fn land(&mut self) -> Result<(), Failure> {
        let (landing, back) = self.prepared.take().map(Prepared::split).unzip();
        let landed =
            land(&mut *self.committer, &mut *self.source, &self.metrics, &*self.clock, landing).await;
        self.take_back(back.filter(|_| landed.is_err()));
        landed
    }

    fn take_back(&mut self, back: Option<Back>) {
        let Some(Back { taken, before, fail_open }) = back else { return };
        self.waiting.put_back(taken);
        self.standing.go_back(before);
        self.fail_open = fail_open;
    }
}

impl Prepared {
    fn split(self) -> ((Commit, News), Back) {
        ((self.commit, self.news), self.back)
    }
}

/// Commits a batch and tells what became of it, at once: others may still be
/// deciding.
async fn land(
    committer: &mut dyn Committer,
    source: &mut dyn UpdateSource,
    metrics: &Metrics,
    clock: &dyn Clock,
    landing: Option<(Commit, News)>,
) -> Result<(), Failure> {
    let Some((commit, news)) = landing else { return Ok(()) };
    let begun = Instant::now();
    committer.commit(commit).await?;
    metrics.count_commit(begun.elapsed());
    metrics.count_logged(&news.logged, clock.now());
    metrics.records.inc_by(news.records);
    metrics.count_key_mismatches(news.key_mismatches);
    metrics.ledger_overflows.inc_by(news.forgotten);
    news.outcomes.iter().for_each(|(_, outcome)| metrics.count(outcome));
    news.drops.iter().for_each(|(told, told_before)| metrics.count_drop(*told, *told_before));
    source.settled(news.outcomes);
    Ok(())
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
        batch.go_on(running, !self.taken.is_empty()).await?;
        batch.release_due(&self.due).await?;
        let took = batch.take(&self.taken, fail_open).await?;
        Ok(Decided { work: batch.done(), took })
    }
}
