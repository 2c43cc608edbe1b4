//! What waits to be done in the background, and who is woken for it.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pricedrop_model::ProductId;
use pricedrop_model::sync::lock;

use super::limits::CHECK_MS;

/// What waits to be done.
#[derive(Default)]
pub(super) struct Work {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    removals: bool,
    /// Products may have outgrown the plain range unnoticed.
    rescan: bool,
    /// These have.
    products: BTreeSet<ProductId>,
    stop: bool,
}

/// A start finds what the last run left.
impl Default for State {
    fn default() -> State {
        State { removals: true, rescan: true, products: BTreeSet::new(), stop: false }
    }
}

/// Work taken to be done now.
pub(super) struct Todo {
    pub(super) removals: bool,
    pub(super) rescan: bool,
    pub(super) products: BTreeSet<ProductId>,
    /// Whether old rows are to be looked for.
    pub(super) prune: bool,
}

impl Work {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// There may be removals to carry out.
    pub(super) fn wake_for_removals(&self) {
        self.lock().removals = true;
        self.changed.notify_all();
    }

    /// A product has outgrown the plain range.
    pub(super) fn want_index(&self, product: &ProductId) {
        self.lock().products.insert(product.clone());
        self.changed.notify_all();
    }

    /// The policy, or what is loaded of it, has changed.
    pub(super) fn rescan(&self) {
        self.lock().rescan = true;
        self.changed.notify_all();
    }

    /// Takes all work there is, and waits a while if there is none. None: the end.
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

    /// Gives back work that could not be done.
    pub(super) fn put_back(&self, todo: Todo) {
        let mut state = self.lock();
        state.removals |= todo.removals;
        state.rescan |= todo.rescan;
        state.products.extend(todo.products);
    }

    /// Waits a moment, or until the end.
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
