//! One batch while it is decided: which records it takes, and the changes that follow from them.
//! Nothing of it is visible before the commit.

use std::collections::{BTreeMap, HashSet};

use pricedrop_decide::{Evaluation, Matcher, evaluate, finish, hold, release};
use pricedrop_model::limits::FUTURE_MS;
use pricedrop_model::plugin::{Decision, Plugins, Release};
use pricedrop_model::ports::{Outcome, RejectedRecord, Summary, WatchView};
use pricedrop_model::{
    FanOut, OnceRange, Partition, Position, Priced, ProductId, ProductState, StateKey, ViewTime, WallTime,
};

use super::decided::{FutureUpdate, Work};
use super::error::Failure;
use super::fan_out_reader::{FanOutReader, Reach, Reading};
use super::intake::{Incoming, Parsed, state_key};
use super::metrics::Metrics;
use super::options::Options;
use super::prefetch::{FIRST_FAN_OUTS, FIRST_RECORDS, MAX_PREFETCH, Prefetch, PrefetchRange};
use super::record_queue::RecordQueue;
use super::states::States;
use super::throttle::{FailOpen, Throttle};

/// Maximum number of updates of one call to the throttle: enough to share the cost of a call, and few enough
/// that only few fan-outs begin after the commit's budget is used up.
const THROTTLE_RUN: usize = 32;
/// Records decided before the task yields to the commit that runs concurrently.
const YIELD_RECORDS: usize = 32;

/// The working copies of one batch.
pub struct Batch<'a> {
    options: &'a Options,
    /// The time of the view.
    view_time: ViewTime,
    states: States,
    throttle: Throttle<'a>,
    reader: FanOutReader<'a>,
    work: Work,
    /// Records decided since the last yield.
    since_yield: usize,
}

impl<'a> Batch<'a> {
    /// A batch over a view. It keeps the present generation of each plugin until it is decided.
    pub fn new(
        options: &'a Options,
        view: &'a mut dyn WatchView,
        plugins: &dyn Plugins,
        metrics: &'a Metrics,
        states: Vec<(StateKey, ProductState)>,
    ) -> Batch<'a> {
        let view_time = view.time();
        Batch {
            options,
            view_time,
            states: States::new(states),
            throttle: Throttle::new(plugins.throttling(), metrics, view_time.wall_time),
            reader: FanOutReader::new(options, metrics, plugins.bucketing(), view),
            work: Work::default(),
            since_yield: 0,
        }
    }

    /// Returns the decided changes.
    pub fn done(mut self) -> Work {
        self.work.commit.states = self.states.changed();
        self.work
    }

    /// Continues unfinished fan-outs within the commit's budget of watches and time. If `others_wait`,
    /// half of both is kept for records.
    pub async fn resume_fan_outs(
        &mut self,
        running: &mut BTreeMap<StateKey, Option<Matcher>>,
        others_wait: bool,
    ) -> Result<(), Failure> {
        let reserve = self.reader.budget.reserve_half(others_wait);
        let order: Vec<_> = running.iter().map(|(key, matcher)| (key.clone(), matcher.is_some())).collect();
        let mut ahead = PrefetchRange::new(FIRST_FAN_OUTS);
        for (at, (key, matcher)) in running.iter_mut().enumerate() {
            if self.reader.budget.remaining() == 0 {
                break;
            }
            if let Some(range) = ahead.at(at, order.len()) {
                self.prefetch().running(&order[range]).await?;
            }
            self.resume(key, matcher).await?;
        }
        self.reader.budget.release(reserve);
        Ok(())
    }

    async fn resume(&mut self, key: &StateKey, matcher: &mut Option<Matcher>) -> Result<(), Failure> {
        let Some(fan_out) = self.states.change(key).fan_out.take() else { return Ok(()) };
        let known = self.reader.view.summary(&key.product).await?;
        let matcher = match matcher.take() {
            Some(matcher) => matcher,
            None => self.reader.rebuild(key, &fan_out, &self.once_ranges(key), &known).await?,
        };
        self.advance(key, *fan_out, matcher, &known).await
    }

    /// Decides records while the budget lasts, in runs that contain a product at most once. Returns for
    /// each record whether it was taken.
    pub async fn take(
        &mut self,
        records: &[Incoming],
        fail_open: &mut FailOpen,
    ) -> Result<Vec<bool>, Failure> {
        let mut queue = RecordQueue::new(records);
        let mut ahead = PrefetchRange::new(FIRST_RECORDS);
        while self.reader.budget.remaining() > 0 {
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

    /// Takes the next run: up to [`THROTTLE_RUN`] records for one call of the throttle, or one record
    /// without a throttle. A record whose product has an unfinished fan-out waits, and so do all
    /// records after it in its partition.
    fn next_run<'r>(&self, queue: &mut RecordQueue<'r>) -> Vec<&'r Incoming> {
        let most = if self.throttle.is_active() { THROTTLE_RUN } else { 1 };
        let (mut run, mut seen) = (Vec::with_capacity(most), HashSet::new());
        while run.len() < most
            && let Some(incoming) = queue.next()
        {
            let partition = incoming.record.position.partition;
            if incoming.product().is_some_and(|product| self.is_fanning_out(partition, product)) {
                queue.skip_partition(partition);
            } else if incoming.product().is_none_or(|product| seen.insert(product)) {
                queue.take();
                run.push(incoming);
            } else {
                break;
            }
        }
        run
    }

    /// Yields after every [`YIELD_RECORDS`] records, so that the concurrent commit makes progress.
    async fn yield_if_due(&mut self, records: usize) {
        self.since_yield += records;
        if self.since_yield >= YIELD_RECORDS {
            self.since_yield = 0;
            tokio::task::yield_now().await;
        }
    }

    /// Whether a fan-out of the product is unfinished.
    fn is_fanning_out(&self, partition: Partition, product: &ProductId) -> bool {
        let of_product = |key: &StateKey| key.partition == partition && key.product == *product;
        self.work.matchers.keys().any(of_product)
    }

    /// Handles records that are no updates, tombstones and stale updates. Returns the other updates.
    fn accept_run(&mut self, run: &[&Incoming]) -> Vec<(StateKey, Position, Priced)> {
        let mut updates = Vec::with_capacity(run.len());
        for incoming in run {
            let position = incoming.record.position;
            match &incoming.parsed {
                Err(why) => {
                    let reason = why.to_string();
                    let rejected = RejectedRecord { record: incoming.record.clone(), reason: reason.clone() };
                    self.work.commit.rejected_records.push(rejected);
                    self.work.record_outcome(position, Outcome::Dead(reason));
                }
                Ok(Parsed::Tombstone(product)) => {
                    self.states.forget(position.partition, product);
                    self.work.record_outcome(position, Outcome::Tombstone);
                }
                Ok(Parsed::Update(update)) => {
                    let key = state_key(position.partition, update, &self.options.rules);
                    if !self.states.accept(&key, update) {
                        self.work.record_outcome(position, Outcome::Stale);
                        continue;
                    }
                    let now = self.view_time.wall_time;
                    let priced = update.priced(&incoming.record, now);
                    if is_future(&priced, incoming, now) {
                        let product = update.product.clone();
                        self.work.future.push(FutureUpdate { product, position, at: priced.event_time });
                    }
                    updates.push((key, position, priced));
                }
            }
        }
        updates
    }

    /// Applies the throttle's decision on an update.
    async fn apply(
        &mut self,
        key: &StateKey,
        position: Position,
        priced: Priced,
        decision: Decision,
    ) -> Result<(), Failure> {
        let now = self.view_time.wall_time;
        match decision {
            Decision::Pass => {
                self.states.change(key).pending = None;
                self.evaluate(key, &priced, true).await
            }
            Decision::Hold(until) => {
                hold(self.states.change(key), priced, now, WallTime(until.0.max(now.0 + 1)));
                self.work.record_outcome(position, Outcome::Held);
                Ok(())
            }
            Decision::Skip => {
                self.work.record_outcome(position, Outcome::Skipped);
                Ok(())
            }
        }
    }

    /// Asks the policy about held updates that are due, the earliest due first.
    pub async fn release_due(&mut self, due: &[StateKey]) -> Result<(), Failure> {
        let mut due: Vec<_> = due
            .iter()
            .filter_map(|key| {
                let state = self.states.get(key)?;
                // A product is not evaluated again until its fan-out is finished.
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

    /// Releases one run, which contains a product at most once.
    async fn release_run(&mut self, run: &[StateKey]) -> Result<(), Failure> {
        let released: Vec<_> = run.iter().zip(self.throttle.release(&mut self.states, run)).collect();
        for part in released.chunks(MAX_PREFETCH) {
            self.prefetch().released(part).await?;
            for (key, decision) in part {
                self.release_one(key, *decision).await?;
            }
        }
        Ok(())
    }

    /// Evaluates what the policy released. After the lowest price the latest is evaluated too: at once,
    /// or when the fan-out of the lowest is finished.
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

    /// Evaluates a price. `answer`: whether to report that it was no drop; held updates were already
    /// reported as held.
    async fn evaluate(&mut self, key: &StateKey, priced: &Priced, answer: bool) -> Result<(), Failure> {
        match evaluate(self.states.change(key), priced, &self.options.rules, self.view_time) {
            Evaluation::Baseline | Evaluation::NotLower => {
                if answer {
                    self.work.record_outcome(priced.position, Outcome::NotLower);
                }
                Ok(())
            }
            Evaluation::Drop(mut fan_out) => {
                let known = self.reader.view.summary(&key.product).await?;
                self.reader.choose_path(&key.product, &known, &mut fan_out);
                self.advance(key, *fan_out, Matcher::default(), &known).await
            }
        }
    }

    /// Notifies as many watchers as the budget allows. The rest of the fan-out is stored in the state
    /// and continued by later commits.
    async fn advance(
        &mut self,
        key: &StateKey,
        mut fan_out: FanOut,
        mut matcher: Matcher,
        known: &Summary,
    ) -> Result<(), Failure> {
        let once_ranges = self.once_ranges(key);
        let reading = Reading { key, fan_out: &mut fan_out, matcher: &mut matcher, once_ranges };
        match self.reader.read_and_decide(reading, known, &mut self.work).await? {
            Reach::Part => {
                self.states.change(key).fan_out = Some(Box::new(fan_out));
                self.work.matchers.insert(key.clone(), matcher);
            }
            Reach::End => {
                let window_ms = self.options.rules.dedup_window_ms;
                self.work.forgotten += finish(self.states.change(key), &fan_out, window_ms) as u64;
                let told_before = fan_out.told_before.is_some();
                self.work.drops.push((fan_out.told, told_before));
                self.work.record_outcome(
                    fan_out.priced.position,
                    Outcome::Drop { told: fan_out.told, told_before },
                );
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

/// Returns whether the time of an update is more than [`FUTURE_MS`] ahead of its record's timestamp or
/// of the clock.
fn is_future(priced: &Priced, incoming: &Incoming, now: WallTime) -> bool {
    let earliest_clock = incoming.record.timestamp.0.min(now.0);
    priced.event_time.0.saturating_sub(earliest_clock) > FUTURE_MS
}
