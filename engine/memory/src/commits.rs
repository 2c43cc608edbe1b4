//! Commits and product states in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use pricedrop_model::ports::{Commit, CommitError, Committer, Error, RejectedRecord, Restored};
use pricedrop_model::sync::lock;
use pricedrop_model::{Currency, FanOutBlock, Partition, ProductId, ProductState, Removal, StateKey};

type States = HashMap<(Partition, ProductId), BTreeMap<Currency, ProductState>>;

/// What was committed: results until a caller takes them, the latest offsets and states.
#[derive(Default)]
pub struct Committed {
    /// Fan-outs in order of commit, until a caller takes them.
    pub fan_outs: Vec<FanOutBlock>,
    /// Rejected records in order of commit, until a caller takes them.
    pub rejected_records: Vec<RejectedRecord>,
    /// Watches to remove, until a caller takes them.
    pub removals: Vec<Removal>,
    /// The next offset of each partition.
    pub offsets: BTreeMap<Partition, i64>,
    states: States,
}

/// A committer whose clones share their commits. A new notifier with a clone continues where the
/// last one stopped.
#[derive(Clone, Default)]
pub struct MemoryCommitter {
    committed: Arc<Mutex<Committed>>,
}

impl MemoryCommitter {
    /// Calls `look` with the commits, to read them or take from them.
    pub fn with<T>(&self, look: impl FnOnce(&mut Committed) -> T) -> T {
        look(&mut lock(&self.committed))
    }
}

#[async_trait]
impl Committer for MemoryCommitter {
    async fn restore(&mut self) -> Result<Restored, Error> {
        Ok(self.with(|committed| Restored {
            offsets: committed.offsets.iter().map(|(partition, next)| (*partition, *next)).collect(),
            unfinished: unfinished(&committed.states),
        }))
    }

    async fn load(
        &mut self,
        products: &[(Partition, ProductId)],
    ) -> Result<Vec<(StateKey, ProductState)>, Error> {
        Ok(self.with(|committed| {
            let mut loaded = Vec::with_capacity(products.len());
            for place in products {
                let states = committed.states.get(place).into_iter().flatten();
                loaded.extend(states.map(|(currency, state)| (key(place, *currency), state.clone())));
            }
            loaded
        }))
    }

    async fn commit(&mut self, commit: Commit) -> Result<(), CommitError> {
        self.with(|committed| {
            committed.fan_outs.extend(commit.fan_outs);
            committed.rejected_records.extend(commit.rejected_records);
            committed.removals.extend(commit.removals);
            committed.offsets.extend(commit.offsets);
            for (key, state) in commit.states {
                remember(&mut committed.states, key, state);
            }
        });
        Ok(())
    }
}

fn key((partition, product): &(Partition, ProductId), currency: Currency) -> StateKey {
    StateKey { partition: *partition, product: product.clone(), currency }
}

/// Stores a state; one that is empty is removed.
fn remember(states: &mut States, key: StateKey, state: ProductState) {
    let place = (key.partition, key.product);
    if state != ProductState::default() {
        states.entry(place).or_default().insert(key.currency, state);
    } else if let Some(by_currency) = states.get_mut(&place) {
        by_currency.remove(&key.currency);
        if by_currency.is_empty() {
            states.remove(&place);
        }
    }
}

/// The states with held updates or an unfinished fan-out.
fn unfinished(states: &States) -> Vec<(StateKey, ProductState)> {
    let all = states.iter().flat_map(|(place, by_currency)| {
        by_currency.iter().map(move |(currency, state)| (key(place, *currency), state))
    });
    all.filter(|(_, state)| state.pending.is_some() || state.fan_out.is_some())
        .map(|(key, state)| (key, state.clone()))
        .collect()
}
