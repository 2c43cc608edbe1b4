//! The notifier's progress in its input: unfinished fan-outs, timers of held updates, and offsets.
//! It advances when a batch is decided, before its commit, and goes back if the commit fails.

use std::collections::{BTreeMap, BTreeSet};

use pricedrop_decide::Matcher;
use pricedrop_model::ports::{Commit, Restored};
use pricedrop_model::{Partition, ProductId, ProductState, StateKey, WallTime};

use super::decided::Work;
use super::intake::Incoming;

/// Unfinished fan-outs, timers and offsets after the last decided batch.
#[derive(Default)]
pub struct InputProgress {
    /// Unfinished fan-outs, each with the users it has notified; `None`: known only by reading its
    /// first part again.
    pub running: BTreeMap<StateKey, Option<Matcher>>,
    timers: Timers,
    /// The next offset of each partition.
    offsets: BTreeMap<Partition, i64>,
}

/// The progress before a batch, to go back to.
pub struct ProgressSnapshot {
    /// For each state that the batch changed: whether it had an unfinished fan-out, and its timer.
    states: Vec<(StateKey, bool, Option<WallTime>)>,
    offsets: BTreeMap<Partition, i64>,
}

impl InputProgress {
    /// The progress that is stored.
    pub fn restored(restored: &Restored) -> InputProgress {
        let offsets = restored.offsets.iter().copied().collect();
        let mut progress = InputProgress { offsets, ..InputProgress::default() };
        for (key, state) in &restored.unfinished {
            progress.remember(key, state, None);
        }
        progress
    }

    /// The number of partitions with an offset.
    pub fn partitions(&self) -> usize {
        self.offsets.len()
    }

    /// When the earliest timer is due.
    pub fn next_due(&self) -> Option<WallTime> {
        self.timers.first()
    }

    /// The states whose held updates are due at `now`, the earliest first.
    pub fn due(&self, now: WallTime) -> Vec<StateKey> {
        self.timers.due(now)
    }

    /// Products with an unfinished fan-out.
    pub fn fanning_out(&self) -> BTreeSet<(Partition, ProductId)> {
        self.running.keys().map(|key| (key.partition, key.product.clone())).collect()
    }

    /// Advances past a decided batch that took these records. Puts the offsets into its commit and
    /// the matchers of its unfinished fan-outs into `running`.
    pub fn advance(&mut self, taken: &[Incoming], work: &mut Work) -> ProgressSnapshot {
        let offsets = self.offsets.clone();
        for incoming in taken {
            let position = incoming.record.position;
            self.offsets.insert(position.partition, position.offset + 1);
        }
        work.commit.offsets = self.touched(&offsets, &work.commit);
        let mut states = Vec::with_capacity(work.commit.states.len());
        for (key, state) in &work.commit.states {
            states.push((key.clone(), self.running.contains_key(key), self.timers.of(key)));
            self.remember(key, state, work.matchers.remove(key));
        }
        ProgressSnapshot { states, offsets }
    }

    /// The offsets of every partition from which the commit has a record or a state.
    fn touched(&self, before: &BTreeMap<Partition, i64>, commit: &Commit) -> Vec<(Partition, i64)> {
        let with_states: BTreeSet<_> = commit.states.iter().map(|(key, _)| key.partition).collect();
        let touched = self.offsets.iter().filter(|(partition, next)| {
            with_states.contains(partition) || before.get(partition) != Some(next)
        });
        touched.map(|(partition, next)| (*partition, *next)).collect()
    }

    /// Goes back to before a batch that was not committed. Its matchers already contain users of that
    /// batch, so they are dropped and rebuilt later.
    pub fn roll_back(&mut self, before: ProgressSnapshot) {
        for (key, running, timer) in before.states {
            set(&mut self.running, &key, running.then_some(None));
            self.timers.set(&key, timer);
        }
        self.offsets = before.offsets;
    }

    fn remember(&mut self, key: &StateKey, state: &ProductState, matcher: Option<Matcher>) {
        set(&mut self.running, key, state.fan_out.is_some().then_some(matcher));
        self.timers.set(key, state.pending.as_ref().map(|pending| pending.due));
    }
}

fn set<V>(map: &mut BTreeMap<StateKey, V>, key: &StateKey, value: Option<V>) {
    match value {
        Some(value) => map.insert(key.clone(), value),
        None => map.remove(key),
    };
}

/// When the throttle is asked about held updates, by state and in order of time.
#[derive(Default)]
struct Timers {
    of: BTreeMap<StateKey, WallTime>,
    in_order: BTreeSet<(WallTime, StateKey)>,
}

impl Timers {
    fn of(&self, key: &StateKey) -> Option<WallTime> {
        self.of.get(key).copied()
    }

    fn set(&mut self, key: &StateKey, due: Option<WallTime>) {
        if let Some(before) = self.of(key) {
            self.in_order.remove(&(before, key.clone()));
        }
        self.in_order.extend(due.map(|due| (due, key.clone())));
        set(&mut self.of, key, due);
    }

    fn first(&self) -> Option<WallTime> {
        self.in_order.first().map(|(due, _)| *due)
    }

    fn due(&self, now: WallTime) -> Vec<StateKey> {
        self.in_order.iter().take_while(|(due, _)| *due <= now).map(|(_, key)| key.clone()).collect()
    }
}
