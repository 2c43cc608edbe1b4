//! A circuit breaker: after consecutive failures it refuses attempts for a while. Then it admits
//! one trial, which shows whether the service works again.
//!
//! ```text
//!          threshold failures             reset timeout over
//! Closed ─────────────────────▶ Open ─────────────────────▶ HalfOpen
//!   ▲                            ▲                            │  │
//!   │                            └──────── trial failed ──────┘  │
//!   └───────────────────────────── success ──────────────────────┘
//! ```
//!
//! It holds no lock and reads no clock. The caller passes in times, measured from an origin that
//! it chooses once, such as the epoch for wall time, or an instant.

use std::time::Duration;

use crate::backoff::Backoff;

/// A circuit breaker for one service, such as a provider or a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker {
    threshold: u32,
    /// How long it stays open. It grows with every failed trial, unless it is constant.
    reset_timeouts: Backoff,
    /// The reset timeout that applies now.
    reset_timeout: Duration,
    state: State,
}

/// The state of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// All attempts are admitted.
    Closed {
        /// Consecutive failures so far, fewer than the threshold.
        failures: u32,
    },
    /// No attempt is admitted before `until`.
    Open {
        /// When a trial is admitted.
        until: Duration,
    },
    /// A trial is in flight. If its outcome is not recorded before `until`, another trial is
    /// admitted.
    HalfOpen {
        /// When the next trial is admitted.
        until: Duration,
    },
}

/// Whether an attempt may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Yes. The caller must record its outcome.
    Admitted,
    /// No, not before this time.
    RefusedUntil(Duration),
}

impl Breaker {
    /// Creates a closed breaker. It opens after `threshold` consecutive failures, at least one, and
    /// stays open for the pauses of `reset_timeouts`.
    pub fn new(threshold: u32, reset_timeouts: Backoff) -> Breaker {
        Breaker {
            threshold: threshold.max(1),
            reset_timeouts,
            reset_timeout: Duration::ZERO,
            state: State::Closed { failures: 0 },
        }
    }

    /// Returns the state.
    pub fn state(&self) -> State {
        self.state
    }

    /// Decides whether an attempt may be made now. If the breaker is not closed, the admitted
    /// attempt is the trial, and others are refused.
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

    /// Records a success, which closes the breaker.
    pub fn record_success(&mut self) {
        self.reset_timeouts.reset();
        self.state = State::Closed { failures: 0 };
    }

    /// Records that an attempt says nothing about the service, such as one that was refused before it
    /// was made. If it was the trial, another one is admitted at once.
    pub fn record_no_outcome(&mut self, now: Duration) {
        if let State::HalfOpen { .. } = self.state {
            self.state = State::Open { until: now };
        }
    }

    /// Records a failure. Returns whether the breaker is open now. A failure that arrives when it
    /// is already open, from an attempt admitted before, does not make the reset timeout grow.
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
    fn after_consecutive_failures_one_trial_call_at_a_time_is_admitted() {
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
        breaker.record_no_outcome(at(2_501));
        assert_eq!(breaker.state(), State::Open { until: at(2_501) });
        assert_eq!(breaker.admit(at(2_502)), Admission::Admitted);
        breaker.record_success();
        assert_eq!(breaker.state(), State::Closed { failures: 0 });
        assert_eq!(breaker.admit(at(2_501)), Admission::Admitted);
    }

    #[test]
    fn a_success_resets_the_count_of_failures() {
        let mut breaker = constant(2);
        for ms in 0..10 {
            assert!(!breaker.record_failure(at(ms)));
            breaker.record_success();
        }
    }

    #[test]
    fn a_trial_call_without_an_outcome_is_followed_by_another() {
        let mut breaker = constant(1);
        breaker.record_failure(at(0));
        assert_eq!(breaker.admit(at(1_000)), Admission::Admitted);
        assert_eq!(breaker.admit(at(2_000)), Admission::Admitted);
    }

    #[test]
    fn each_failed_trial_lengthens_the_reset_timeout_and_late_failures_do_not() {
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
        /// In every history, a refusal ends within the longest reset timeout, and two consecutive
        /// trials are at least the initial reset timeout apart.
        #[test]
        fn calls_are_refused_for_at_most_the_longest_reset_timeout(
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
