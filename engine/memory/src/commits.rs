//! Commits that last as long as the process.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use pricedrop_model::ports::{Commit, CommitError, Committer, Error, RejectedRecord, Restored};
use pricedrop_model::sync::lock;
use pricedrop_model::{Currency, FanOutBlock, Partition, ProductId, ProductState, Removal, StateKey};

type States = HashMap<(Partition, ProductId), BTreeMap<Currency, ProductState>>;

/// What was committed so far.
#[derive(Default)]
pub struct Committed {
    /// Fan-outs in order, until somebody takes them.
    pub fan_outs: Vec<FanOutBlock>,
    /// Rejected records in order, until somebody takes them.
    pub rejected_records: Vec<RejectedRecord>,
    /// Rows to remove, until somebody does.
    pub removals: Vec<Removal>,
    /// The next offset of each partition.
    pub offsets: BTreeMap<Partition, i64>,
    states: States,
}

/// A committer over shared memory: a new one over the same memory goes on where
/// the last one stopped.
#[derive(Clone, Default)]
pub struct MemoryCommitter {
    committed: Arc<Mutex<Committed>>,
}

impl MemoryCommitter {
    /// What was committed, to read or take from.
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

/// A state with nothing in it is forgotten.
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

fn unfinished(states: &States) -> Vec<(StateKey, ProductState)> {
    let all = states.iter().flat_map(|(place, by_currency)| {
        by_currency.iter().map(move |(currency, state)| (key(place, *currency), state))
    });
    all.filter(|(_, state)| state.pending.is_some() || state.fan_out.is_some())
        .map(|(key, state)| (key, state.clone()))
        .collect()
}
