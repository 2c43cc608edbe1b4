//! What one commit holds, and how it comes about. Nothing here is true before
//! the commit.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pricedrop_decide::{Evaluation, Teller, accept, evaluate, finish};
use pricedrop_model::plugin::{Bucketing, Plugins, Throttling};
use pricedrop_model::ports::{Commit, DeadLetter, Outcome, Summary, WatchView};
use pricedrop_model::{
    FanOut, Partition, Position, Priced, ProductId, ProductState, StateKey, Update, WallTime,
};

use super::ahead::{Ahead, FAN_OUTS_AHEAD, RECORDS_AHEAD};
use super::intake::{Incoming, Says};
use super::reading::Reach;
use super::throttle::FailOpen;
use super::{Failure, Metrics, Options};

/// Most updates the throttle is asked about at once: enough to make a call
/// cheap, and few enough that not many begin to tell when there is no room left.
const THROTTLE_RUN: usize = 32;
/// Records decided between two looks at what runs beside.
const BREATH_RECORDS: usize = 32;

/// What a cycle has decided.
#[derive(Default)]
pub struct Work {
    /// To be made true.
    pub commit: Commit,
    /// What became of records, to be told afterwards.
    pub outcomes: Vec<(Position, Outcome)>,
    /// Of each drop that is through: users told, and whether the price was told before.
    pub drops: Vec<(u64, bool)>,
    /// Told prices that left a full ledger before their window ended.
    pub forgotten: u64,
    /// Whom unfinished fan-outs have told.
    pub tellers: BTreeMap<StateKey, Teller>,
}

/// What was decided, and which of the records that were given it took.
pub struct Decided {
    /// To be committed.
    pub work: Work,
    /// One for each record.
    pub took: Vec<bool>,
}

/// One cycle's working copies.
pub struct Batch<'a> {
    pub(super) options: &'a Options,
    pub(super) view: &'a mut dyn WatchView,
    pub(super) now: WallTime,
    pub(super) bucketing: Option<Arc<dyn Bucketing>>,
    pub(super) throttling: Option<Arc<dyn Throttling>>,
    pub(super) metrics: &'a Metrics,
    pub(super) states: HashMap<StateKey, Held>,
    /// Watches this commit may still consider.
    pub(super) budget: usize,
    /// When it may consider no more of them.
    until: Option<Instant>,
    pub(super) work: Work,
    /// Records decided since the last look at what runs beside.
    breath: usize,
}

/// Records on offer, in order.
struct Queue<'a> {
    records: &'a [Incoming],
    at: usize,
    /// Which were taken.
    took: Vec<bool>,
    /// Partitions that wait.
    waiting: BTreeSet<Partition>,
}

impl<'a> Queue<'a> {
    fn of(records: &'a [Incoming]) -> Queue<'a> {
        Queue { records, at: 0, took: vec![false; records.len()], waiting: BTreeSet::new() }
    }

    /// The next record of a partition that does not wait.
    fn next(&mut self) -> Option<&'a Incoming> {
        while let Some(incoming) = self.records.get(self.at) {
            if !self.waiting.contains(&incoming.record.position.partition) {
                return Some(incoming);
            }
            self.at += 1;
        }
        None
    }

    fn take(&mut self) {
        self.took[self.at] = true;
        self.at += 1;
    }

    fn pass_over(&mut self, partition: Partition) {
        self.waiting.insert(partition);
    }
}

/// A state in hand.
#[derive(Default)]
pub struct Held {
    /// It, as this cycle leaves it.
    pub state: ProductState,
    changed: bool,
}

impl<'a> Batch<'a> {
    /// Takes the plugins of this moment for the whole batch.
    pub fn new(
        options: &'a Options,
        view: &'a mut dyn WatchView,
        plugins: &dyn Plugins,
        metrics: &'a Metrics,
        states: Vec<(StateKey, ProductState)>,
    ) -> Batch<'a> {
        let held = |(key, state)| (key, Held { state, changed: false });
        Batch {
            now: view.wall_time(),
            view,
            bucketing: plugins.bucketing(),
            throttling: plugins.throttling(),
            metrics,
            states: states.into_iter().map(held).collect(),
            budget: options.commit_watches,
            until: Instant::now().checked_add(Duration::from_millis(options.commit_ms)),
            options,
            work: Work::default(),
            breath: 0,
        }
    }

    /// What to commit.
    pub fn done(mut self) -> Work {
        let changed = self.states.into_iter().filter(|(_, held)| held.changed);
        self.work.commit.states = changed.map(|(key, held)| (key, held.state)).collect();
        self.work
    }

    /// A state to change.
    pub fn state(&mut self, key: &StateKey) -> &mut ProductState {
        let held = self.states.entry(key.clone()).or_default();
        held.changed = true;
        &mut held.state
    }

    /// Takes considered watches off the budget; nothing is left of it when it
    /// has been too long.
    pub(super) fn spend(&mut self, watches: usize) {
        let late = self.until.is_some_and(|until| Instant::now() >= until);
        self.budget = if late { 0 } else { self.budget.saturating_sub(watches) };
    }

    /// Goes on with unfinished fan-outs, as far as the budget and the time go: half
    /// of both, where the other half is for records of other products.
    pub async fn go_on(
        &mut self,
        running: &mut BTreeMap<StateKey, Option<Teller>>,
        others_wait: bool,
    ) -> Result<(), Failure> {
        let records_share = if others_wait { self.budget / 2 } else { 0 };
        self.budget -= records_share;
        let until = self.until;
        if others_wait && let Some(until) = &mut self.until {
            *until -= until.saturating_duration_since(Instant::now()) / 2;
        }
        let order: Vec<_> = running.iter().map(|(key, teller)| (key.clone(), teller.is_some())).collect();
        let mut ahead = Ahead::new(FAN_OUTS_AHEAD);
        for (at, (key, teller)) in running.iter_mut().enumerate() {
            if self.budget == 0 {
                break;
            }
            if let Some(range) = ahead.at(at, order.len()) {
                self.announce_running(&order[range]).await?;
            }
            let Some(fan_out) = self.state(key).fan_out.take() else { continue };
            let known = self.view.summary(&key.product).await?;
            let teller = match teller.take() {
                Some(teller) => teller,
                None => self.rebuild(key, &fan_out, &known).await?,
            };
            self.advance(key, *fan_out, teller, &known).await?;
        }
        self.budget += records_share;
        self.until = until;
        Ok(())
    }

    /// Takes records, in runs that hold a product at most once, while there is
    /// room; says of each whether it took it.
    pub async fn take(
        &mut self,
        records: &[Incoming],
        fail_open: &mut FailOpen,
    ) -> Result<Vec<bool>, Failure> {
        let mut queue = Queue::of(records);
        let mut ahead = Ahead::new(RECORDS_AHEAD);
        while self.budget > 0 {
            if self.throttling.is_none()
                && let Some(range) = ahead.at(queue.at, records.len())
            {
                self.announce_records(&records[range]).await?;
            }
            let run = self.next_run(&mut queue);
            if run.is_empty() {
                break;
            }
            let updates = self.accept_run(&run);
            let decisions = self.ask_throttle(&updates, fail_open);
            if self.throttling.is_some() {
                self.announce_passed(&updates, &decisions).await?;
            }
            for ((key, position, priced), decision) in updates.into_iter().zip(decisions) {
                self.apply(&key, position, priced, decision).await?;
            }
            self.breathe(run.len()).await;
        }
        Ok(queue.took)
    }

    /// The next records that go together: only with a throttle, which is asked
    /// about many products at once, more than one. A record whose product is
    /// still telling waits, and all behind it in its partition.
    fn next_run<'r>(&self, queue: &mut Queue<'r>) -> Vec<&'r Incoming> {
        let most = if self.throttling.is_some() { THROTTLE_RUN } else { 1 };
        let (mut run, mut seen) = (Vec::with_capacity(most), HashSet::new());
        while run.len() < most
            && let Some(incoming) = queue.next()
        {
            let partition = incoming.record.position.partition;
            if incoming.product().is_some_and(|product| self.is_telling(partition, product)) {
                queue.pass_over(partition);
            } else if incoming.product().is_none_or(|product| seen.insert(product)) {
                queue.take();
                run.push(incoming);
            } else {
                break;
            }
        }
        run
    }

    /// Lets a commit that runs beside be heard, every so many records.
    pub(super) async fn breathe(&mut self, records: usize) {
        self.breath += records;
        if self.breath >= BREATH_RECORDS {
            self.breath = 0;
            tokio::task::yield_now().await;
        }
    }

    /// Whether a fan-out of the product is unfinished.
    fn is_telling(&self, partition: Partition, product: &ProductId) -> bool {
        let of_product = |key: &StateKey| key.partition == partition && key.product == *product;
        self.work.tellers.keys().any(of_product)
    }

    /// Settles what is no update, or stale; gives the rest.
    fn accept_run(&mut self, run: &[&Incoming]) -> Vec<(StateKey, Position, Priced)> {
        let mut updates = Vec::with_capacity(run.len());
        for incoming in run {
            let position = incoming.record.position;
            match &incoming.says {
                Err(why) => {
                    let reason = why.to_string();
                    let letter = DeadLetter { record: incoming.record.clone(), reason: reason.clone() };
                    self.work.commit.dead_letters.push(letter);
                    self.settle(position, Outcome::Dead(reason));
                }
                Ok(Says::Tombstone(product)) => self.forget(position, product),
                Ok(Says::Update(update)) => {
                    let key = self.key(position.partition, update);
                    if !self.accepts(&key, update) {
                        self.settle(position, Outcome::Stale);
                        continue;
                    }
                    updates.push((key, position, update.priced(&incoming.record)));
                }
            }
        }
        updates
    }

    pub(super) fn key(&self, partition: Partition, update: &Update) -> StateKey {
        let currency = update.currency.unwrap_or(self.options.rules.currency);
        StateKey { partition, product: update.product.clone(), currency }
    }

    /// A stale update changes nothing, not even the stored state.
    fn accepts(&mut self, key: &StateKey, update: &Update) -> bool {
        let held = self.states.entry(key.clone()).or_default();
        let accepted = accept(&mut held.state, update);
        held.changed |= accepted;
        accepted
    }

    fn forget(&mut self, position: Position, product: &ProductId) {
        for (key, held) in &mut self.states {
            if key.product == *product && key.partition == position.partition {
                held.state.forget();
                held.changed = true;
            }
        }
        self.settle(position, Outcome::Tombstone);
    }

    pub(super) fn settle(&mut self, position: Position, outcome: Outcome) {
        self.work.outcomes.push((position, outcome));
    }

    /// Evaluates a price now. `answer`: somebody waits to hear of this record.
    pub(super) async fn evaluate(
        &mut self,
        key: &StateKey,
        priced: &Priced,
        answer: bool,
    ) -> Result<(), Failure> {
        let (rules, now) = (&self.options.rules, self.now);
        match evaluate(self.state(key), priced, rules, now) {
            Evaluation::Baseline | Evaluation::NotLower => {
                if answer {
                    self.settle(priced.position, Outcome::NotLower);
                }
                Ok(())
            }
            Evaluation::Drop(mut fan_out) => {
                let known = self.view.summary(&key.product).await?;
                self.choose_path(&key.product, &known, &mut fan_out);
                self.advance(key, *fan_out, Teller::default(), &known).await
            }
        }
    }

    /// Tells as many watchers as the budget allows; the rest is for later commits.
    async fn advance(
        &mut self,
        key: &StateKey,
        mut fan_out: FanOut,
        mut teller: Teller,
        known: &Summary,
    ) -> Result<(), Failure> {
        match self.read_and_tell(key, &mut fan_out, &mut teller, known).await? {
            Reach::Part => {
                self.state(key).fan_out = Some(Box::new(fan_out));
                self.work.tellers.insert(key.clone(), teller);
            }
            Reach::End => {
                let window_ms = self.options.rules.dedup_window_ms;
                self.work.forgotten += finish(self.state(key), &fan_out, window_ms) as u64;
                let told_before = fan_out.told_before.is_some();
                self.work.drops.push((fan_out.told, told_before));
                self.settle(fan_out.priced.position, Outcome::Drop { told: fan_out.told, told_before });
            }
        }
        Ok(())
    }
}
