//! One batch while it is decided: which records it takes, and what follows from
//! each. Nothing here is true before the commit.

use std::collections::{BTreeMap, HashSet};

use pricedrop_decide::{Evaluation, Teller, evaluate, finish, hold, release};
use pricedrop_model::plugin::{Decision, Plugins, Release};
use pricedrop_model::ports::{Outcome, RejectedRecord, Summary, WatchView};
use pricedrop_model::{
    FanOut, OnceRange, Partition, Position, Priced, ProductId, ProductState, StateKey, WallTime,
};

use super::decided::Work;
use super::error::Failure;
use super::fan_out_reader::{FanOutReader, Reach, Reading};
use super::intake::{Incoming, Parsed, state_key};
use super::metrics::Metrics;
use super::options::Options;
use super::prefetch::{Ahead, FAN_OUTS_AHEAD, MOST_AHEAD, Prefetch, RECORDS_AHEAD};
use super::record_queue::RecordQueue;
use super::states::States;
use super::throttle::{FailOpen, Throttle};

/// Most updates the throttle is asked about at once: enough to make a call
/// cheap, and few enough that not many begin to tell when there is no room left.
const THROTTLE_RUN: usize = 32;
/// Records decided between two looks at what runs beside.
const YIELD_RECORDS: usize = 32;

/// One cycle's working copies.
pub struct Batch<'a> {
    options: &'a Options,
    now: WallTime,
    states: States,
    throttle: Throttle<'a>,
    reader: FanOutReader<'a>,
    work: Work,
    /// Records decided since the last look at what runs beside.
    since_yield: usize,
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
        let now = view.wall_time();
        Batch {
            options,
            now,
            states: States::new(states),
            throttle: Throttle::new(plugins.throttling(), metrics, now),
            reader: FanOutReader::new(options, metrics, plugins.bucketing(), view),
            work: Work::default(),
            since_yield: 0,
        }
    }

    /// What to commit.
    pub fn done(mut self) -> Work {
        self.work.commit.states = self.states.changed();
        self.work
    }

    /// Goes on with unfinished fan-outs, as far as the budget and the time go: half
    /// of both, where the other half is for records of other products.
    pub async fn resume_fan_outs(
        &mut self,
        running: &mut BTreeMap<StateKey, Option<Teller>>,
        others_wait: bool,
    ) -> Result<(), Failure> {
        let reserve = self.reader.budget.reserve_half(others_wait);
        let order: Vec<_> = running.iter().map(|(key, teller)| (key.clone(), teller.is_some())).collect();
        let mut ahead = Ahead::new(FAN_OUTS_AHEAD);
        for (at, (key, teller)) in running.iter_mut().enumerate() {
            if self.reader.budget.left() == 0 {
                break;
            }
            if let Some(range) = ahead.at(at, order.len()) {
                self.prefetch().running(&order[range]).await?;
            }
            self.resume(key, teller).await?;
        }
        self.reader.budget.release(reserve);
        Ok(())
    }

    async fn resume(&mut self, key: &StateKey, teller: &mut Option<Teller>) -> Result<(), Failure> {
        let Some(fan_out) = self.states.change(key).fan_out.take() else { return Ok(()) };
        let known = self.reader.view.summary(&key.product).await?;
        let teller = match teller.take() {
            Some(teller) => teller,
            None => self.reader.rebuild(key, &fan_out, &self.once_ranges(key), &known).await?,
        };
        self.advance(key, *fan_out, teller, &known).await
    }

    /// Takes records, in runs that hold a product at most once, while there is
    /// room; says of each whether it took it.
    pub async fn take(
        &mut self,
        records: &[Incoming],
        fail_open: &mut FailOpen,
    ) -> Result<Vec<bool>, Failure> {
        let mut queue = RecordQueue::new(records);
        let mut ahead = Ahead::new(RECORDS_AHEAD);
        while self.reader.budget.left() > 0 {
            if !self.throttle.is_active()
                && let Some(range) = ahead.at(queue.at(), records.len())
            {
                self.prefetch().records(&records[range]).await?;
            }
            let run = self.next_run(&mut queue);
            if run.is_empty() {
                break;
            }
            let updates = self.accept_run(&run);
            let decisions = self.throttle.decide(&mut self.states, &updates, fail_open);
            if self.throttle.is_active() {
                self.prefetch().passed(&updates, &decisions).await?;
            }
            for ((key, position, priced), decision) in updates.into_iter().zip(decisions) {
                self.apply(&key, position, priced, decision).await?;
            }
            self.yield_if_due(run.len()).await;
        }
        Ok(queue.took())
    }

    /// The next records that go together: only with a throttle, which is asked
    /// about many products at once, more than one. A record whose product is
    /// still telling waits, and all behind it in its partition.
    fn next_run<'r>(&self, queue: &mut RecordQueue<'r>) -> Vec<&'r Incoming> {
        let most = if self.throttle.is_active() { THROTTLE_RUN } else { 1 };
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
    async fn yield_if_due(&mut self, records: usize) {
        self.since_yield += records;
        if self.since_yield >= YIELD_RECORDS {
            self.since_yield = 0;
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
            match &incoming.parsed {
                Err(why) => {
                    let reason = why.to_string();
                    let rejected = RejectedRecord { record: incoming.record.clone(), reason: reason.clone() };
                    self.work.commit.rejected_records.push(rejected);
                    self.work.settle(position, Outcome::Dead(reason));
                }
                Ok(Parsed::Tombstone(product)) => {
                    self.states.forget(position.partition, product);
                    self.work.settle(position, Outcome::Tombstone);
                }
                Ok(Parsed::Update(update)) => {
                    let key = state_key(position.partition, update, &self.options.rules);
                    if !self.states.accept(&key, update) {
                        self.work.settle(position, Outcome::Stale);
                        continue;
                    }
                    updates.push((key, position, update.priced(&incoming.record)));
                }
            }
        }
        updates
    }

    /// Does what was decided of an update.
    async fn apply(
        &mut self,
        key: &StateKey,
        position: Position,
        priced: Priced,
        decision: Decision,
    ) -> Result<(), Failure> {
        let now = self.now;
        match decision {
            Decision::Pass => {
                self.states.change(key).pending = None;
                self.evaluate(key, &priced, true).await
            }
            Decision::Hold(until) => {
                hold(self.states.change(key), priced, now, WallTime(until.0.max(now.0 + 1)));
                self.work.settle(position, Outcome::Held);
                Ok(())
            }
            Decision::Skip => {
                self.work.settle(position, Outcome::Skipped);
                Ok(())
            }
        }
    }

    /// Releases held updates that are due, the longest due first.
    pub async fn release_due(&mut self, due: &[StateKey]) -> Result<(), Failure> {
        let mut due: Vec<_> = due
            .iter()
            .filter_map(|key| {
                let state = self.states.get(key)?;
                // A product's next evaluation waits until its fan-out is through.
                let pending = state.pending.as_ref().filter(|_| state.fan_out.is_none())?;
                Some((pending.due, key.clone()))
            })
            .collect();
        due.sort();
        let mut seen = HashSet::new();
        let (now, later): (Vec<_>, Vec<_>) =
            due.into_iter().map(|(_, key)| key).partition(|key| seen.insert(key.product.clone()));
        self.release_run(&now).await?;
        for key in later {
            self.release_run(std::slice::from_ref(&key)).await?;
        }
        Ok(())
    }

    /// A run holds a product at most once.
    async fn release_run(&mut self, run: &[StateKey]) -> Result<(), Failure> {
        let released: Vec<_> = run.iter().zip(self.throttle.release(&mut self.states, run)).collect();
        for part in released.chunks(MOST_AHEAD) {
            self.prefetch().released(part).await?;
            for (key, decision) in part {
                self.release_one(key, *decision).await?;
            }
        }
        Ok(())
    }

    /// Lowest leaves the latest behind: evaluated at once unless the lowest is
    /// still telling.
    async fn release_one(&mut self, key: &StateKey, mut decision: Release) -> Result<(), Failure> {
        while let Some(priced) = release(self.states.change(key), decision) {
            self.evaluate(key, &priced, false).await?;
            let state = self.states.change(key);
            let follows = state.pending.as_ref().is_some_and(|pending| pending.released);
            if !follows || state.fan_out.is_some() {
                break;
            }
            decision = Release::Last;
        }
        Ok(())
    }

    /// Evaluates a price now. `answer`: somebody waits to hear of this record.
    async fn evaluate(&mut self, key: &StateKey, priced: &Priced, answer: bool) -> Result<(), Failure> {
        let (rules, now) = (&self.options.rules, self.now);
        match evaluate(self.states.change(key), priced, rules, now) {
            Evaluation::Baseline | Evaluation::NotLower => {
                if answer {
                    self.work.settle(priced.position, Outcome::NotLower);
                }
                Ok(())
            }
            Evaluation::Drop(mut fan_out) => {
                let known = self.reader.view.summary(&key.product).await?;
                self.reader.choose_path(&key.product, &known, &mut fan_out);
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
        let once_ranges = self.once_ranges(key);
        let reading = Reading { key, fan_out: &mut fan_out, teller: &mut teller, once_ranges };
        match self.reader.read_and_tell(reading, known, &mut self.work).await? {
            Reach::Part => {
                self.states.change(key).fan_out = Some(Box::new(fan_out));
                self.work.tellers.insert(key.clone(), teller);
            }
            Reach::End => {
                let window_ms = self.options.rules.dedup_window_ms;
                self.work.forgotten += finish(self.states.change(key), &fan_out, window_ms) as u64;
                let told_before = fan_out.told_before.is_some();
                self.work.drops.push((fan_out.told, told_before));
                self.work.settle(fan_out.priced.position, Outcome::Drop { told: fan_out.told, told_before });
            }
        }
        Ok(())
    }

    fn once_ranges(&self, key: &StateKey) -> Vec<OnceRange> {
        self.states.get(key).map_or_else(Vec::new, |state| state.once_ranges.clone())
    }

    fn prefetch(&mut self) -> Prefetch<'_> {
        Prefetch {
            rules: &self.options.rules,
            states: &self.states,
            page_rows: self.reader.page_rows(),
            view: &mut *self.reader.view,
        }
    }
}
