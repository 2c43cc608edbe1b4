//! One circuit breaker per provider, so that a provider that is down delays only its own
//! messages.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use pricedrop_model::WallTime;
use pricedrop_model::backoff::Backoff;
use pricedrop_model::breaker::{self, Breaker};
use pricedrop_model::dispatch::{Access, Outgoing, Reply};
use pricedrop_model::sync::lock;

/// Maximum number of providers with a breaker. While this many fail, requests to others are always sent.
const PROVIDERS: usize = 4_096;

/// The state of a provider that has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its last requests failed, fewer in a row than open the breaker. Requests are sent.
    Failing,
    /// Its breaker is open: nothing is sent.
    Open,
    /// One trial request is in flight; others wait.
    HalfOpen,
}

/// Whether a request may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    Send,
    /// Not now; ask again at this time.
    Wait(WallTime),
}

/// The breakers of all providers that fail; a healthy provider has none.
pub(super) struct Breakers {
    failing: Mutex<HashMap<String, Breaker>>,
    /// The breaker of a provider that has not failed yet.
    closed: Breaker,
}

impl Breakers {
    pub(super) fn new(threshold: u32, reset_timeout_ms: u64) -> Breakers {
        let reset_timeout = Backoff::constant(Duration::from_millis(reset_timeout_ms));
        Breakers { failing: Mutex::default(), closed: Breaker::new(threshold, reset_timeout) }
    }

    /// Whether a request to this provider may be sent now.
    pub(super) fn admit(&self, provider: &str, now: WallTime) -> Admission {
        let mut failing = self.lock();
        let Some(breaker) = failing.get_mut(provider) else { return Admission::Send };
        match breaker.admit(since_epoch(now)) {
            breaker::Admission::Admitted => Admission::Send,
            breaker::Admission::RefusedUntil(until) => Admission::Wait(wall_time(until)),
        }
    }

    /// Records the result of a request. A success closes the breaker and forgets the provider.
    pub(super) fn record(&self, provider: &str, failed: bool, now: WallTime) {
        let mut failing = self.lock();
        if !failed {
            failing.remove(provider);
            return;
        }
        if failing.len() >= PROVIDERS && !failing.contains_key(provider) {
            return;
        }
        let breaker = failing.entry(provider.to_owned()).or_insert(self.closed);
        breaker.record_failure(since_epoch(now));
    }

    /// Every failing provider with its state, by name.
    pub(super) fn states(&self) -> Vec<(String, State)> {
        let state = |breaker: &Breaker| match breaker.state() {
            breaker::State::Closed { .. } => State::Failing,
            breaker::State::HalfOpen { .. } => State::HalfOpen,
            breaker::State::Open { .. } => State::Open,
        };
        let mut states: Vec<_> =
            self.lock().iter().map(|(provider, breaker)| (provider.clone(), state(breaker))).collect();
        states.sort_by(|a, b| a.0.cmp(&b.0));
        states
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Breaker>> {
        lock(&self.failing)
    }
}

fn since_epoch(time: WallTime) -> Duration {
    Duration::from_millis(u64::try_from(time.0).unwrap_or(0))
}

fn wall_time(since_epoch: Duration) -> WallTime {
    WallTime(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}

/// The name of the provider that a message goes to: `channel host`.
pub(super) fn provider(channel: &str, access: &Access, outgoing: &Outgoing) -> String {
    let host = match outgoing {
        Outgoing::Http(request) => authority(&request.url),
        Outgoing::WebPush(push) => authority(&push.endpoint),
        Outgoing::Mail(_) => access.mail.as_ref().map_or("mail", |account| account.host.as_str()),
        Outgoing::Line(_) => "stdout",
    };
    format!("{channel} {host}")
}

/// Host and port of a URL. Used only to name providers; the sender parses the URL itself before it
/// connects.
fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    rest[..end].rsplit('@').next().unwrap_or_default()
}

/// Whether a reply means that the provider is failing, and not only that it refused one message.
pub(super) fn failed(reply: &Reply) -> bool {
    match reply {
        Reply::Unanswered(_) => true,
        Reply::Http { status, .. } => *status >= 500,
        // 421: the service is not available.
        Reply::Smtp(code, _) => *code == 421,
        Reply::Done => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_sent_to_a_failing_provider_until_a_trial_request_succeeds() {
        let breakers = Breakers::new(2, 1_000);
        let at = WallTime;
        breakers.record("c a", true, at(0));
        assert_eq!(breakers.admit("c a", at(1)), Admission::Send);
        breakers.record("c a", true, at(1));
        assert_eq!(breakers.admit("c a", at(2)), Admission::Wait(at(1_001)));
        assert_eq!(breakers.admit("c b", at(2)), Admission::Send);
        assert_eq!(breakers.states(), [("c a".to_string(), State::Open)]);
        // One trial request at a time.
        assert_eq!(breakers.admit("c a", at(1_001)), Admission::Send);
        assert_eq!(breakers.admit("c a", at(1_002)), Admission::Wait(at(2_001)));
        assert_eq!(breakers.states(), [("c a".to_string(), State::HalfOpen)]);
        breakers.record("c a", true, at(1_500));
        assert_eq!(breakers.admit("c a", at(2_002)), Admission::Wait(at(2_500)));
        assert_eq!(breakers.admit("c a", at(2_500)), Admission::Send);
        breakers.record("c a", false, at(2_501));
        assert_eq!(breakers.admit("c a", at(2_501)), Admission::Send);
        assert_eq!(breakers.states(), []);
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_block_a_provider() {
        let breakers = Breakers::new(1, 1_000);
        breakers.record("c a", true, WallTime(1_000_000));
        assert_eq!(breakers.admit("c a", WallTime(0)), Admission::Send);
    }

    #[test]
    fn a_provider_is_the_channel_and_the_host() {
        assert_eq!(authority("https://u:p@h.example:81/x?y@z"), "h.example:81");
        assert_eq!(authority("http://[::1]:9?x"), "[::1]:9");
    }
}
