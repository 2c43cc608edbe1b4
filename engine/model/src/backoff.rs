//! Exponential backoff: each pause before a retry is twice as long as the one before, up to a
//! maximum.
//!
//! Nothing here sleeps, reads a clock or draws a random number. The caller sleeps, and passes in
//! the random number for the jitter.

use std::time::Duration;

/// The pauses after consecutive failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    initial: Duration,
    max: Duration,
    /// How many pauses were returned since the last success.
    pauses: u32,
}

impl Backoff {
    /// Creates a backoff whose first pause is `initial`. No pause is longer than `max`.
    pub const fn new(initial: Duration, max: Duration) -> Backoff {
        Backoff { initial, max, pauses: 0 }
    }

    /// Creates a backoff with the same pause after every failure.
    pub const fn constant(pause: Duration) -> Backoff {
        Backoff::new(pause, pause)
    }

    /// Creates a backoff as [`Backoff::new`] does, from milliseconds.
    pub const fn from_millis(initial_ms: u64, max_ms: u64) -> Backoff {
        Backoff::new(Duration::from_millis(initial_ms), Duration::from_millis(max_ms))
    }

    /// Returns the pause after one more failure.
    pub fn next_pause(&mut self) -> Duration {
        let pause = self.pause(self.pauses);
        self.pauses = self.pauses.saturating_add(1);
        pause
    }

    /// Starts again with the first pause, after a success.
    pub fn reset(&mut self) {
        self.pauses = 0;
    }

    /// Returns the pause after a failure that `failures` others preceded. It does not depend on
    /// `next_pause`.
    pub fn pause(&self, failures: u32) -> Duration {
        // The factor stops at 2^62. That many nanoseconds are more than a century.
        let (low, high) = (failures.min(31), failures.saturating_sub(31).min(31));
        self.initial.saturating_mul(1 << low).saturating_mul(1 << high).min(self.max)
    }
}

/// Full jitter: returns a random part of a pause, so that callers that failed together do not retry
/// together. `random` is clamped to the range from 0 to 1; NaN counts as 0.
pub fn jitter(longest: Duration, random: f64) -> Duration {
    let share = if random.is_nan() { 0.0 } else { random.clamp(0.0, 1.0) };
    longest.mul_f64(share).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn millis(pauses: &[Duration]) -> Vec<u128> {
        pauses.iter().map(Duration::as_millis).collect()
    }

    #[test]
    fn pauses_double_up_to_the_maximum_and_restart_after_a_success() {
        let mut backoff = Backoff::from_millis(200, 1_000);
        let pauses: Vec<Duration> = (0..5).map(|_| backoff.next_pause()).collect();
        assert_eq!(millis(&pauses), [200, 400, 800, 1_000, 1_000]);
        backoff.reset();
        assert_eq!(backoff.next_pause().as_millis(), 200);
    }

    #[test]
    fn a_constant_backoff_does_not_grow() {
        let mut backoff = Backoff::constant(Duration::from_secs(1));
        assert!((0..100).all(|_| backoff.next_pause() == Duration::from_secs(1)));
    }

    #[test]
    fn an_invalid_random_number_adds_no_jitter() {
        assert_eq!(jitter(Duration::from_secs(1), f64::NAN), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn pauses_grow_and_never_exceed_the_maximum(
            initial_ms in 0u64..100_000,
            max_ms in 0u64..u64::MAX / 2,
            failures in 0u32..200,
        ) {
            let backoff = Backoff::from_millis(initial_ms, max_ms);
            let (pause, next) = (backoff.pause(failures), backoff.pause(failures + 1));
            prop_assert!(pause <= Duration::from_millis(max_ms));
            prop_assert!(pause <= next && next <= pause * 2);
            if initial_ms > 0 && failures > 80 {
                prop_assert!(pause == next);
            }
        }

        #[test]
        fn the_next_pause_equals_the_pause_after_that_many_failures(
            initial_ms in 1u64..1_000,
            max_ms in 1u64..1_000_000,
            failures in 0u32..70,
        ) {
            let mut backoff = Backoff::from_millis(initial_ms, max_ms);
            for before in 0..failures {
                prop_assert_eq!(backoff.next_pause(), backoff.pause(before));
            }
        }

        #[test]
        fn jitter_never_lengthens_a_pause(ms in 0u64..1_000_000_000, random in proptest::num::f64::ANY) {
            let longest = Duration::from_millis(ms);
            prop_assert!(jitter(longest, random) <= longest);
            prop_assert_eq!(jitter(longest, 1.0), longest);
            prop_assert_eq!(jitter(longest, 0.0), Duration::ZERO);
        }
    }
}
