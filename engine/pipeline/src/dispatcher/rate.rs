//! The rate limit of a channel: request starts are spaced evenly, with a small burst.

use pricedrop_model::sync::lock;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

/// The burst: after a pause, as many requests may start at once as the rate allows in this time.
const BURST: Duration = Duration::from_millis(100);

/// When the next request may start.
#[derive(Default)]
pub(super) struct Rate(Mutex<Option<Instant>>);

impl Rate {
    /// Reserves the next start at this rate and returns it.
    pub(super) fn reserve(&self, per_second: u32, now: Instant) -> Instant {
        let step = Duration::from_secs(1) / per_second.max(1);
        let mut next = lock(&self.0);
        // Unused time counts only up to the burst.
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
    fn at_most_the_rate_and_its_burst_start_within_a_second() {
        let (rate, now) = (Rate::default(), Instant::now());
        let starts = (0..200).filter(|_| rate.reserve(50, now) < now + Duration::from_secs(1)).count();
        assert_eq!(starts, 55);
    }
}
