//! When a delivery that failed or has to wait is tried again, and when it is given up.

use std::time::Duration;

use pricedrop_model::WallTime;
use pricedrop_model::backoff::{Backoff, jitter};

use super::job::{Job, Outcome};
use super::options::{Options, later};

/// Returns the outcome of a failed attempt: a retry after a backoff, or a dead letter after
/// `max_attempts` attempts or `max_age_ms`.
pub(super) fn failed(
    options: &Options,
    job: &Job,
    reason: String,
    retry_after_ms: Option<u64>,
    plugin: &str,
    now: WallTime,
) -> Outcome {
    if job.attempt >= options.max_attempts {
        let reason = format!("all {} attempts failed; the last error: {reason}", job.attempt);
        return Outcome::Dead { reason, plugin: plugin.to_owned() };
    }
    if let Some(dead) = given_up(options, job, &reason, plugin, now) {
        return dead;
    }
    let due = later(now, wait_ms(options, job.attempt, retry_after_ms));
    Outcome::Retry { due, attempt: job.attempt + 1, reason }
}

/// Returns the outcome of a delivery that was not attempted: the same attempt at `due`, or a
/// dead letter after `max_age_ms`.
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

/// Returns a dead letter if the delivery was first read `max_age_ms` ago or earlier. The bound is
/// necessary because confirmations expire: a delivery that outlived them could be repeated.
fn given_up(options: &Options, job: &Job, reason: &str, plugin: &str, now: WallTime) -> Option<Outcome> {
    let age_ms = u64::try_from(now.0.saturating_sub(job.since.0)).unwrap_or(0);
    (age_ms >= options.max_age_ms).then(|| Outcome::Dead {
        reason: format!("given up after {} s; the last error: {reason}", age_ms / 1000),
        plugin: plugin.to_owned(),
    })
}

/// Returns the wait in milliseconds: exponential with full jitter. If the provider asked for a
/// wait, that wait, up to `retry_after_max_ms`, plus a jitter of at most `backoff_initial_ms`.
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

/// Returns a random time from zero to `longest`, milliseconds.
pub(super) fn spread_ms(longest: Duration) -> u64 {
    jitter(longest, rand::random()).as_millis() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit_and_retry_after_is_honored() {
        let options = Options::default();
        for (attempt, most) in [(1, 1_000), (4, 8_000), (11, 600_000), (u32::MAX, 600_000)] {
            let longest = (0..500).map(|_| wait_ms(&options, attempt, None)).max().unwrap_or(0);
            assert!(longest <= most && longest > most / 2, "{attempt}: {longest}");
        }
        let requested = wait_ms(&options, 1, Some(30_000));
        assert!((30_000..=31_000).contains(&requested), "{requested}");
        assert!(wait_ms(&options, 1, Some(u64::MAX)) <= 3_601_000);
    }
}
