//! How far the notifier has come between two batches: what the next one must know
//! besides the states themselves. A batch that is decided moves it on before
//! its commit, and back again when that fails.

use std::collections::{BTreeMap, BTreeSet};

use pricedrop_decide::Teller;
use pricedrop_model::ports::{Commit, Restored};
use pricedrop_model::{Partition, ProductId, ProductState, StateKey, WallTime};

use super::decided::Work;
use super::intake::Incoming;

/// Unfinished fan-outs, timers and offsets, up to the last batch decided.
#[derive(Default)]
pub struct InputProgress {
    /// Unfinished fan-outs; without a teller it is rebuilt by reading again.
    pub running: BTreeMap<StateKey, Option<Teller>>,
    timers: Timers,
    /// The next offset of each partition.
    offsets: BTreeMap<Partition, i64>,
}

/// How it was before a batch.
pub struct Before {
    /// Of each state the batch changed: whether a fan-out ran, and its timer.
    states: Vec<(StateKey, bool, Option<WallTime>)>,
    offsets: BTreeMap<Partition, i64>,
}

impl InputProgress {
    /// As it is stored.
    pub fn restored(restored: &Restored) -> InputProgress {
        let offsets = restored.offsets.iter().copied().collect();
        let mut progress = InputProgress { offsets, ..InputProgress::default() };
        for (key, state) in &restored.unfinished {
            progress.remember(key, state, None);
        }
        progress
    }

    /// How many partitions it knows of.
    pub fn partitions(&self) -> usize {
        self.offsets.len()
    }

    /// The first timer.
    pub fn next_due(&self) -> Option<WallTime> {
        self.timers.first()
    }

    /// Held updates whose timer has run out.
    pub fn due(&self, now: WallTime) -> Vec<StateKey> {
        self.timers.due(now)
    }

    /// Products with an unfinished fan-out.
    pub fn telling(&self) -> BTreeSet<(Partition, ProductId)> {
        self.running.keys().map(|key| (key.partition, key.product.clone())).collect()
    }

    /// Moves on past a batch that took these records, and gives its commit the
    /// offsets that go with it.
    pub fn advance(&mut self, taken: &[Incoming], work: &mut Work) -> Before {
        let offsets = self.offsets.clone();
        for incoming in taken {
            let position = incoming.record.position;
            self.offsets.insert(position.partition, position.offset + 1);
        }
        work.commit.offsets = self.touched(&offsets, &work.commit);
        let mut states = Vec::with_capacity(work.commit.states.len());
        for (key, state) in &work.commit.states {
            states.push((key.clone(), self.running.contains_key(key), self.timers.of(key)));
            self.remember(key, state, work.tellers.remove(key));
        }
        Before { states, offsets }
    }

    /// The offsets of every partition of which a commit carries anything.
    fn touched(&self, before: &BTreeMap<Partition, i64>, commit: &Commit) -> Vec<(Partition, i64)> {
        let with_states: BTreeSet<_> = commit.states.iter().map(|(key, _)| key.partition).collect();
        let touched = self.offsets.iter().filter(|(partition, next)| {
            with_states.contains(partition) || before.get(partition) != Some(next)
        });
        touched.map(|(partition, next)| (*partition, *next)).collect()
    }

    /// Goes back to before a batch that was not committed. Its tellers have gone
    /// further than that, so they are forgotten.
    pub fn go_back(&mut self, before: Before) {
        for (key, running, timer) in before.states {
            set(&mut self.running, &key, running.then_some(None));
            self.timers.set(&key, timer);
        }
        self.offsets = before.offsets;
    }

    fn remember(&mut self, key: &StateKey, state: &ProductState, teller: Option<Teller>) {
        set(&mut self.running, key, state.fan_out.is_some().then_some(teller));
        self.timers.set(key, state.pending.as_ref().map(|pending| pending.due));
    }
}

fn set<V>(map: &mut BTreeMap<StateKey, V>, key: &StateKey, value: Option<V>) {
    match value {
        Some(value) => map.insert(key.clone(), value),
        None => map.remove(key),
    };
}

/// When the throttle is asked about held updates.
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
