//! Backoff of the archiver after errors.

use std::time::Duration;

use pricedrop_model::backoff::Backoff;

use crate::error::Error;

/// Backoff after transient errors.
const TRANSIENT: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
/// Backoff after errors that need an operator. It is longer, because each attempt may list a whole
/// chain.
const LASTING: Backoff = Backoff::new(Duration::from_secs(5), Duration::from_secs(300));

/// The pauses after consecutive errors. Transient and lasting errors have separate backoffs.
#[derive(Debug, Clone, Copy)]
pub struct Pauses {
    transient: Backoff,
    lasting: Backoff,
}

impl Default for Pauses {
    fn default() -> Pauses {
        Pauses { transient: TRANSIENT, lasting: LASTING }
    }
}

impl Pauses {
    /// Returns the pause after this error, and increases the next one of its kind.
    pub fn after(&mut self, error: &Error) -> Duration {
        let backoff = if error.is_transient() { &mut self.transient } else { &mut self.lasting };
        backoff.next_pause()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_that_needs_an_operator_is_retried_less_and_less_often() {
        let (away, refused) = (Error::Unavailable("away".into()), Error::Refused("wrong".into()));
        let mut pauses = Pauses::default();
        let of_away: Vec<u128> = (0..8).map(|_| pauses.after(&away).as_millis()).collect();
        assert_eq!(of_away, [200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
        let of_refused: Vec<u64> = (0..8).map(|_| pauses.after(&refused).as_secs()).collect();
        assert_eq!(of_refused, [5, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(pauses.after(&away).as_secs(), 10);
        assert_eq!(Pauses::default().after(&refused).as_secs(), 5);
    }
}
