//! Stops waiting for a server that does not answer.

use pricedrop_model::sync::lock;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Counts failures in a row; past a number of them it lets one call in a while
/// try, and refuses the others at once.
pub(super) struct Breaker {
    failures: u32,
    open: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    in_a_row: u32,
    /// When the next call may try; none: all may.
    next_try: Option<Instant>,
}

impl Breaker {
    pub(super) fn new(failures: u32, open: Duration) -> Breaker {
        Breaker { failures, open, state: Mutex::default() }
    }

    /// Whether a call may go on now. A call that never comes back with an
    /// outcome holds the others off for one pause, no longer.
    pub(super) fn admits(&self, now: Instant) -> bool {
        let mut state = lock(&self.state);
        match state.next_try {
            None => true,
            Some(next_try) if now < next_try => false,
            Some(_) => {
                state.next_try = Some(now + self.open);
                true
            }
        }
    }

    pub(super) fn succeeded(&self) {
        *lock(&self.state) = State::default();
    }

    /// Whether this failure opened it, or kept it open.
    pub(super) fn failed(&self, now: Instant) -> bool {
        let mut state = lock(&self.state);
        state.in_a_row = state.in_a_row.saturating_add(1);
        let opens = state.in_a_row >= self.failures;
        if opens {
            state.next_try = Some(now + self.open);
        }
        opens
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_failures_in_a_row_one_call_in_a_while_tries() {
        let pause = Duration::from_secs(1);
        let (breaker, now) = (Breaker::new(2, pause), Instant::now());
        assert!(!breaker.failed(now) && breaker.admits(now));
        assert!(breaker.failed(now) && !breaker.admits(now));
        let later = now + pause;
        assert!(breaker.admits(later) && !breaker.admits(later));
        assert!(breaker.failed(later) && !breaker.admits(later));
        breaker.succeeded();
        assert!(breaker.admits(later) && !breaker.failed(later));
    }
}
