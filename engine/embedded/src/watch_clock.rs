//! Assigns the times of watches and views. A view's wall time W divides the watches: the view
//! sees every watch updated at W or before, and every later write is updated after W.
//!
//! Writes of watches are stamped once per group, under the lock under which views are opened, and
//! no view is opened while a stamped group is not committed yet. Waiting views come before the
//! next group, so a stream of writes does not starve them.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use pricedrop_model::sync::lock;
use pricedrop_model::{Clock, WallTime, WriteTime};

/// The times of all watches that one group writes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamp {
    pub(super) updated_at: WallTime,
    pub(super) write_time: WriteTime,
}

pub(super) struct WatchClock {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    last_view: i64,
    last_update: i64,
    /// In microseconds; the other two are in milliseconds.
    last_write: i64,
    /// A group was stamped and is not committed yet.
    stamped: bool,
    views_waiting: usize,
}

impl WatchClock {
    pub(super) fn new(clock: Arc<dyn Clock>) -> WatchClock {
        WatchClock { clock, state: Mutex::default(), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Returns the current wall time.
    pub(super) fn now(&self) -> WallTime {
        self.clock.now()
    }

    /// Continues after the times that a store remembers.
    pub(super) fn start_after(&self, [update, write]: [i64; 2]) {
        let mut state = self.lock();
        state.last_view = state.last_view.max(update);
        state.last_update = state.last_update.max(update);
        state.last_write = state.last_write.max(write);
    }

    /// Returns what a store must remember: the latest wall time (milliseconds) and write time
    /// (microseconds).
    pub(super) fn latest(&self) -> [i64; 2] {
        let state = self.lock();
        [state.last_view.max(state.last_update), state.last_write]
    }

    /// Stamps a group of writes. `end_stamp` must be called once it is committed or failed.
    pub(super) fn stamp(&self) -> Stamp {
        let mut state = self.lock();
        while state.views_waiting > 0 {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let now = self.clock.now().0;
        state.last_update = now.max(state.last_view + 1).max(state.last_update);
        state.last_write = now.saturating_mul(1000).max(state.last_write + 1);
        state.stamped = true;
        Stamp { updated_at: WallTime(state.last_update), write_time: WriteTime(state.last_write) }
    }

    /// Ends a stamped group: it is visible, or never will be.
    pub(super) fn end_stamp(&self) {
        self.lock().stamped = false;
        self.changed.notify_all();
    }

    /// Opens a view: runs `open` while no stamped group is being committed.
    pub(super) fn view<T>(&self, open: impl FnOnce() -> T) -> (WallTime, T) {
        let mut state = self.lock();
        state.views_waiting += 1;
        while state.stamped {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.views_waiting -= 1;
        state.last_view = self.clock.now().0.max(state.last_view).max(state.last_update);
        let view = (WallTime(state.last_view), open());
        self.changed.notify_all();
        view
    }
}
