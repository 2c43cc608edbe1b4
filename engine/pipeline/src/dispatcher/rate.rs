//! The rate limit of a channel: evenly spaced starts, with a small burst.

use pricedrop_model::sync::lock;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

/// How much of a second's rate may start at once.
const BURST: Duration = Duration::from_millis(100);

/// When the next request may start.
#[derive(Default)]
pub(super) struct Rate(Mutex<Option<Instant>>);

impl Rate {
    /// Takes the next start at this rate; when it is.
    pub(super) fn reserve(&self, per_second: u32, now: Instant) -> Instant {
        let step = Duration::from_secs(1) / per_second.max(1);
        let mut next = lock(&self.0);
        // Time that passed unused counts for a burst, and no more.
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let start = next.unwrap_or(earliest).max(earliest);
        *next = Some(start + step);
        start.max(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holds_no_more_starts_than_the_rate_and_its_burst() {
        let (rate, now) = (Rate::default(), Instant::now());
        let starts = (0..200).filter(|_| rate.reserve(50, now) < now + Duration::from_secs(1)).count();
        assert_eq!(starts, 55);
    }
}
