//! What becomes of a delivery that failed or has to wait.

use std::time::Duration;

use pricedrop_model::WallTime;
use pricedrop_model::backoff::{Backoff, jitter};

use super::job::{Job, Outcome};
use super::options::{Options, later};

/// After a failed attempt: another one after a while, or none.
pub(super) fn failed(
    options: &Options,
    job: &Job,
    reason: String,
    retry_after_ms: Option<u64>,
    plugin: &str,
    now: WallTime,
) -> Outcome {
    if job.attempt >= options.max_attempts {
        let reason = format!("{} attempts used up; the last: {reason}", job.attempt);
        return Outcome::Dead { reason, plugin: plugin.to_owned() };
    }
    if let Some(dead) = given_up(options, job, &reason, plugin, now) {
        return dead;
    }
    let due = later(now, wait_ms(options, job.attempt, retry_after_ms));
    Outcome::Retry { due, attempt: job.attempt + 1, reason }
}

/// Without an attempt: the same one again at `due`.
pub(super) fn defer(
    options: &Options,
    job: &Job,
    due: WallTime,
    reason: String,
    plugin: &str,
    now: WallTime,
) -> Outcome {
    given_up(options, job, &reason, plugin, now).unwrap_or(Outcome::Retry {
        due,
        attempt: job.attempt,
        reason,
    })
}

/// A delivery that has been tried for too long; what was confirmed is only
/// remembered for so long, too.
fn given_up(options: &Options, job: &Job, reason: &str, plugin: &str, now: WallTime) -> Option<Outcome> {
    let age_ms = u64::try_from(now.0.saturating_sub(job.since.0)).unwrap_or(0);
    (age_ms >= options.max_age_ms).then(|| Outcome::Dead {
        reason: format!("given up after {} s; the last: {reason}", age_ms / 1000),
        plugin: plugin.to_owned(),
    })
}

/// Exponential with full jitter; a wait the provider asks for is kept, up to a
/// limit, with a little jitter behind it.
fn wait_ms(options: &Options, attempt: u32, retry_after_ms: Option<u64>) -> u64 {
    match retry_after_ms {
        Some(ms) => {
            ms.min(options.retry_after_max_ms) + spread_ms(Duration::from_millis(options.backoff_initial_ms))
        }
        None => {
            let backoff = Backoff::from_millis(options.backoff_initial_ms, options.backoff_max_ms);
            spread_ms(backoff.pause(attempt - 1))
        }
    }
}

/// Anything from nothing to this.
pub(super) fn spread_ms(longest: Duration) -> u64 {
    jitter(longest, rand::random()).as_millis() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit_and_a_providers_wish_is_kept() {
        let options = Options::default();
        for (attempt, most) in [(1, 1_000), (4, 8_000), (11, 600_000), (u32::MAX, 600_000)] {
            let longest = (0..500).map(|_| wait_ms(&options, attempt, None)).max().unwrap_or(0);
            assert!(longest <= most && longest > most / 2, "{attempt}: {longest}");
        }
        let wished = wait_ms(&options, 1, Some(30_000));
        assert!((30_000..=31_000).contains(&wished), "{wished}");
        assert!(wait_ms(&options, 1, Some(u64::MAX)) <= 3_601_000);
    }
}
