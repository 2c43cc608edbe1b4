//! How long to wait after an error.

use std::time::Duration;

use crate::error::Error;

/// First pause after an error that may mend itself, and the longest.
const TRANSIENT: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// The same where a person has to do something: each look may list a whole chain.
const LASTING: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));

/// Pauses after errors in a row: each is twice as long as the one before.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pauses {
    last: Duration,
}

impl Pauses {
    /// The pause after this error.
    pub fn after(&mut self, error: &Error) -> Duration {
        let (first, longest) = if error.is_transient() { TRANSIENT } else { LASTING };
        self.last = (self.last * 2).clamp(first, longest);
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_a_person_is_looked_at_less_and_less_often() {
        let (away, refused) = (Error::Unavailable("away".into()), Error::Refused("wrong".into()));
        let mut pauses = Pauses::default();
        let of_away: Vec<u128> = (0..8).map(|_| pauses.after(&away).as_millis()).collect();
        assert_eq!(of_away, [200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
        let of_refused: Vec<u64> = (0..6).map(|_| pauses.after(&refused).as_secs()).collect();
        assert_eq!(of_refused, [20, 40, 80, 160, 300, 300]);
        assert_eq!(pauses.after(&away).as_secs(), 10);
        assert_eq!(Pauses::default().after(&refused).as_secs(), 5);
    }
}
