//! The product states of a batch: loaded before it is decided, changed while it is.

use std::collections::HashMap;

use pricedrop_decide::accept;
use pricedrop_model::{Partition, ProductId, ProductState, StateKey, Update};

/// Working copies of every state that the batch may touch.
pub struct States(HashMap<StateKey, WorkingState>);

#[derive(Default)]
struct WorkingState {
    state: ProductState,
    changed: bool,
}

impl States {
    /// Working copies of these states. Of several with the same key the last one counts.
    pub fn new(loaded: Vec<(StateKey, ProductState)>) -> States {
        let held = |(key, state)| (key, WorkingState { state, changed: false });
        States(loaded.into_iter().map(held).collect())
    }

    /// Returns a state, if there is one.
    pub fn get(&self, key: &StateKey) -> Option<&ProductState> {
        self.0.get(key).map(|held| &held.state)
    }

    /// Returns a state to change; creates it if there is none.
    pub fn change(&mut self, key: &StateKey) -> &mut ProductState {
        let held = self.0.entry(key.clone()).or_default();
        held.changed = true;
        &mut held.state
    }

    /// Returns whether an update is accepted, that is, not stale. A stale one changes nothing and
    /// causes no write.
    pub fn accept(&mut self, key: &StateKey, update: &Update) -> bool {
        let held = self.0.entry(key.clone()).or_default();
        let accepted = accept(&mut held.state, update);
        held.changed |= accepted;
        accepted
    }

    /// Clears the states of a product in every currency, except for once-ranges.
    pub fn forget(&mut self, partition: Partition, product: &ProductId) {
        for (key, held) in &mut self.0 {
            if key.product == *product && key.partition == partition {
                held.state.forget();
                held.changed = true;
            }
        }
    }

    /// Returns the states that changed.
    pub fn changed(self) -> Vec<(StateKey, ProductState)> {
        let changed = self.0.into_iter().filter(|(_, held)| held.changed);
        changed.map(|(key, held)| (key, held.state)).collect()
    }
}
