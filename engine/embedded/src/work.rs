//! The queue of background work, and the condition variable that wakes its thread.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pricedrop_model::ProductId;
use pricedrop_model::sync::lock;

use super::limits::CHECK_MS;

/// Background work to be done.
#[derive(Default)]
pub(super) struct Work {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    removals: bool,
    /// Whether all products must be searched for missing indexes.
    rescan: bool,
    /// Products that need an index.
    products: BTreeSet<ProductId>,
    stop: bool,
}

/// A new process does what the last one left undone.
impl Default for State {
    fn default() -> State {
        State { removals: true, rescan: true, products: BTreeSet::new(), stop: false }
    }
}

/// Background work that was taken.
pub(super) struct Todo {
    pub(super) removals: bool,
    pub(super) rescan: bool,
    pub(super) products: BTreeSet<ProductId>,
    /// Whether old rows are due to be deleted.
    pub(super) prune: bool,
}

impl Work {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Queues the search for removals to carry out.
    pub(super) fn wake_for_removals(&self) {
        self.lock().removals = true;
        self.changed.notify_all();
    }

    /// Queues the build of a product's index.
    pub(super) fn want_index(&self, product: &ProductId) {
        self.lock().products.insert(product.clone());
        self.changed.notify_all();
    }

    /// Queues a search of all products, after the active or the loaded policy has changed.
    pub(super) fn rescan(&self) {
        self.lock().rescan = true;
        self.changed.notify_all();
    }

    /// Takes all work, and waits up to `CHECK_MS` if there is none. Returns `None` after `stop`.
    pub(super) fn take(&self) -> Option<Todo> {
        let mut state = self.lock();
        if !state.stop && !state.removals && !state.rescan && state.products.is_empty() {
            let waited = self.changed.wait_timeout(state, Duration::from_millis(CHECK_MS));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let todo = Todo {
            removals: std::mem::take(&mut state.removals),
            rescan: std::mem::take(&mut state.rescan),
            products: std::mem::take(&mut state.products),
            prune: false,
        };
        (!state.stop).then_some(todo)
    }

    /// Returns work that could not be done to the queue.
    pub(super) fn put_back(&self, todo: Todo) {
        let mut state = self.lock();
        state.removals |= todo.removals;
        state.rescan |= todo.rescan;
        state.products.extend(todo.products);
    }

    /// Waits up to `CHECK_MS`, or until there is new work. Returns at once after `stop`.
    pub(super) fn pause(&self) {
        let state = self.lock();
        if !state.stop {
            drop(self.changed.wait_timeout(state, Duration::from_millis(CHECK_MS)));
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.lock().stop
    }

    /// Ends the background work.
    pub(super) fn stop(&self) {
        self.lock().stop = true;
        self.changed.notify_all();
    }
}
