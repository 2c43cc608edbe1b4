//! A circuit breaker: after failures in a row nothing is tried for a while, then
//! one trial finds out whether what failed works again.
//!
//! ```text
//!          threshold failures             reset timeout over
//! Closed ─────────────────────▶ Open ─────────────────────▶ HalfOpen
//!   ▲                            ▲                            │  │
//!   │                            └──────── trial failed ──────┘  │
//!   └───────────────────────────── success ──────────────────────┘
//! ```
//!
//! It holds no lock and reads no clock. Times are passed in, as the time since an
//! origin that the caller chooses and keeps: the epoch for wall time, or an instant.

use std::time::Duration;

use crate::backoff::Backoff;

/// The breaker of one thing that may fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker {
    threshold: u32,
    /// How long it stays open: longer with every trial that fails, unless constant.
    reset_timeouts: Backoff,
    /// The one that counts now.
    reset_timeout: Duration,
    state: State,
}

/// What a breaker lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Everything; so many attempts have failed in a row.
    Closed {
        /// Fewer than the threshold.
        failures: u32,
    },
    /// Nothing until then.
    Open {
        /// When a trial is let through.
        until: Duration,
    },
    /// A trial is on its way. If its outcome is not told by then, another one is let
    /// through.
    HalfOpen {
        /// When the next trial is let through.
        until: Duration,
    },
}

/// Whether an attempt may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Yes; its outcome is to be recorded.
    Admitted,
    /// Not before that time.
    RefusedUntil(Duration),
}

impl Breaker {
    /// A closed one. It opens after `threshold` failures in a row, one at least, and
    /// stays open as long as the pauses of `reset_timeouts` say.
    pub fn new(threshold: u32, reset_timeouts: Backoff) -> Breaker {
        Breaker {
            threshold: threshold.max(1),
            reset_timeouts,
            reset_timeout: Duration::ZERO,
            state: State::Closed { failures: 0 },
        }
    }

    /// What it lets through.
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether an attempt may be made now. While it is not closed, the attempt that
    /// is admitted is the trial, and others are refused.
    pub fn admit(&mut self, now: Duration) -> Admission {
        let (State::Open { until } | State::HalfOpen { until }) = self.state else {
            return Admission::Admitted;
        };
        // If the clock was set back, `until` may be far away.
        if now < until && until - now <= self.reset_timeout {
            return Admission::RefusedUntil(until);
        }
        self.state = State::HalfOpen { until: now.saturating_add(self.reset_timeout) };
        Admission::Admitted
    }

    /// An attempt succeeded: it is closed.
    pub fn record_success(&mut self) {
        self.reset_timeouts.reset();
        self.state = State::Closed { failures: 0 };
    }

    /// An attempt failed; whether it is open now. A failure that arrives while it is
    /// open already, of an attempt made before, does not make the timeout grow.
    pub fn record_failure(&mut self, now: Duration) -> bool {
        match self.state {
            State::Closed { failures } if failures + 1 < self.threshold => {
                self.state = State::Closed { failures: failures + 1 };
                return false;
            }
            State::Closed { .. } | State::HalfOpen { .. } => {
                self.reset_timeout = self.reset_timeouts.next_pause();
            }
            State::Open { .. } => {}
        }
        self.state = State::Open { until: now.saturating_add(self.reset_timeout) };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn constant(threshold: u32) -> Breaker {
        Breaker::new(threshold, Backoff::constant(at(1_000)))
    }

    #[test]
    fn after_failures_in_a_row_one_trial_at_a_time_is_let_through() {
        let mut breaker = constant(2);
        assert!(!breaker.record_failure(at(0)));
        assert_eq!(breaker.admit(at(1)), Admission::Admitted);
        assert!(breaker.record_failure(at(1)));
        assert_eq!(breaker.admit(at(2)), Admission::RefusedUntil(at(1_001)));
        assert_eq!(breaker.admit(at(1_001)), Admission::Admitted);
        assert_eq!(breaker.state(), State::HalfOpen { until: at(2_001) });
        assert_eq!(breaker.admit(at(1_002)), Admission::RefusedUntil(at(2_001)));
        assert!(breaker.record_failure(at(1_500)));
        assert_eq!(breaker.admit(at(2_499)), Admission::RefusedUntil(at(2_500)));
        assert_eq!(breaker.admit(at(2_500)), Admission::Admitted);
        breaker.record_success();
        assert_eq!(breaker.state(), State::Closed { failures: 0 });
        assert_eq!(breaker.admit(at(2_501)), Admission::Admitted);
    }

    #[test]
    fn a_success_in_between_begins_the_count_anew() {
        let mut breaker = constant(2);
        for ms in 0..10 {
            assert!(!breaker.record_failure(at(ms)));
            breaker.record_success();
        }
    }

    #[test]
    fn a_trial_without_an_outcome_is_followed_by_another_one() {
        let mut breaker = constant(1);
        breaker.record_failure(at(0));
        assert_eq!(breaker.admit(at(1_000)), Admission::Admitted);
        assert_eq!(breaker.admit(at(2_000)), Admission::Admitted);
    }

    #[test]
    fn every_trial_that_fails_makes_the_timeout_grow_and_late_failures_do_not() {
        let mut breaker = Breaker::new(1, Backoff::from_millis(1_000, 3_000));
        let mut now = at(0);
        for grown in [1_000, 2_000, 3_000, 3_000] {
            breaker.record_failure(now);
            breaker.record_failure(now);
            assert_eq!(breaker.state(), State::Open { until: now + at(grown) });
            now += at(grown);
            assert_eq!(breaker.admit(now), Admission::Admitted);
        }
        breaker.record_success();
        breaker.record_failure(now);
        assert_eq!(breaker.state(), State::Open { until: now + at(1_000) });
    }

    #[test]
    fn a_clock_that_is_set_back_holds_nobody() {
        let mut breaker = constant(1);
        breaker.record_failure(at(1_000_000));
        assert_eq!(breaker.admit(at(0)), Admission::Admitted);
    }

    proptest! {
        /// Whatever happens, a refusal ends within the longest reset timeout, and
        /// between two trials one reset timeout passes.
        #[test]
        fn nobody_is_refused_for_longer_than_the_longest_timeout(
            threshold in 0u32..5,
            steps in proptest::collection::vec((0u64..500, 0u8..3), 1..200),
        ) {
            let (initial, max) = (at(100), at(700));
            let mut breaker = Breaker::new(threshold, Backoff::new(initial, max));
            let (mut now, mut last_trial, mut in_a_row) = (at(0), None::<Duration>, 0);
            for (passed, what) in steps {
                now += at(passed);
                let was_closed = matches!(breaker.state(), State::Closed { .. });
                match what {
                    0 => {
                        breaker.record_success();
                        (last_trial, in_a_row) = (None, 0);
                    }
                    1 => {
                        in_a_row += 1;
                        prop_assert_eq!(breaker.record_failure(now), in_a_row >= threshold.max(1));
                    }
                    _ => match breaker.admit(now) {
                        Admission::RefusedUntil(until) => {
                            prop_assert!(!was_closed && now < until && until - now <= max);
                        }
                        Admission::Admitted if was_closed => {}
                        Admission::Admitted => {
                            prop_assert!(last_trial.is_none_or(|last| now - last >= initial));
                            last_trial = Some(now);
                        }
                    },
                }
            }
        }
    }
}
