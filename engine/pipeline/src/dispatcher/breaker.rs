//! One circuit breaker per provider, so that a provider that is down delays only its own
//! messages. Each opening, failed trial and closing is logged once, with the provider's words.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use pricedrop_model::WallTime;
use pricedrop_model::backoff::Backoff;
use pricedrop_model::breaker::{self, Breaker};
use pricedrop_model::dispatch::{Access, Outgoing, Reply};
use pricedrop_model::sync::lock;

use super::classification::describe;

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

/// A provider that has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailingProvider {
    /// Its name: `channel host`.
    pub name: String,
    /// The state of its breaker.
    pub state: State,
    /// Why its last request failed: its reply, or why there was none.
    pub reason: String,
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
    failing: Mutex<HashMap<String, Failing>>,
    /// The breaker of a provider that has not failed yet.
    closed: Breaker,
}

struct Failing {
    breaker: Breaker,
    /// Why the last request failed.
    reason: String,
}

impl Breakers {
    pub(super) fn new(threshold: u32, reset_timeout_ms: u64) -> Breakers {
        let reset_timeout = Backoff::constant(Duration::from_millis(reset_timeout_ms));
        Breakers { failing: Mutex::default(), closed: Breaker::new(threshold, reset_timeout) }
    }

    /// Whether a request to this provider may be sent now.
    pub(super) fn admit(&self, provider: &str, now: WallTime) -> Admission {
        let mut failing = self.lock();
        let Some(failing) = failing.get_mut(provider) else { return Admission::Send };
        match failing.breaker.admit(since_epoch(now)) {
            breaker::Admission::Admitted => Admission::Send,
            breaker::Admission::RefusedUntil(until) => Admission::Wait(wall_time(until)),
        }
    }

    /// Records the result of a request: none, or the [`failure`] of the provider. A success closes the
    /// breaker and forgets the provider.
    pub(super) fn record(&self, provider: &str, failure: Option<String>, now: WallTime) {
        let mut all = self.lock();
        let Some(reason) = failure else {
            let before = all.remove(provider).map(|failing| failing.breaker.state());
            drop(all);
            if before.is_some_and(|before| !matches!(before, breaker::State::Closed { .. })) {
                tracing::info!(provider, "the provider works again; its circuit breaker closed");
            }
            return;
        };
        if all.len() >= PROVIDERS && !all.contains_key(provider) {
            return;
        }
        let new = || Failing { breaker: self.closed, reason: String::new() };
        let failing = all.entry(provider.to_owned()).or_insert_with(new);
        let before = failing.breaker.state();
        let is_open = failing.breaker.record_failure(since_epoch(now));
        failing.reason.clone_from(&reason);
        drop(all);
        match before {
            breaker::State::Closed { .. } if is_open => {
                tracing::warn!(provider, %reason, "the provider fails; its circuit breaker opened, and its deliveries wait");
            }
            breaker::State::HalfOpen { .. } => {
                tracing::warn!(provider, %reason, "the provider still fails; its circuit breaker stays open");
            }
            _ => {}
        }
    }

    /// Records that a request was not sent because of its message or recipient, which says nothing about
    /// the provider. If it was the trial, the next request is.
    pub(super) fn record_not_sent(&self, provider: &str, now: WallTime) {
        if let Some(failing) = self.lock().get_mut(provider) {
            failing.breaker.record_no_outcome(since_epoch(now));
        }
    }

    /// Every failing provider, by name.
    pub(super) fn states(&self) -> Vec<FailingProvider> {
        let state = |breaker: &Breaker| match breaker.state() {
            breaker::State::Closed { .. } => State::Failing,
            breaker::State::HalfOpen { .. } => State::HalfOpen,
            breaker::State::Open { .. } => State::Open,
        };
        let provider = |(name, failing): (&String, &Failing)| FailingProvider {
            name: name.clone(),
            state: state(&failing.breaker),
            reason: failing.reason.clone(),
        };
        let mut states: Vec<_> = self.lock().iter().map(provider).collect();
        states.sort_by(|a, b| a.name.cmp(&b.name));
        states
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Failing>> {
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

/// Returns the provider's words if a reply means that the provider is failing. None if it works, also
/// if it refused this message or its recipient.
pub(super) fn failure(reply: &Reply) -> Option<String> {
    let is_failing = match reply {
        Reply::Unanswered(_) => true,
        Reply::Http { status, .. } => *status >= 500,
        // 421: the service is not available.
        Reply::Smtp(code, _) => *code == 421,
        Reply::Done => false,
    };
    is_failing.then(|| describe(reply))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_sent_to_a_failing_provider_until_a_trial_request_succeeds() {
        let breakers = Breakers::new(2, 1_000);
        let at = WallTime;
        let failed = |reason: &str| Some(reason.to_owned());
        let states = || -> Vec<_> {
            let states = breakers.states().into_iter();
            states.map(|provider| (provider.name, provider.state, provider.reason)).collect()
        };
        breakers.record("c a", failed("refused"), at(0));
        assert_eq!(breakers.admit("c a", at(1)), Admission::Send);
        breakers.record("c a", failed("SMTP 421 busy"), at(1));
        assert_eq!(breakers.admit("c a", at(2)), Admission::Wait(at(1_001)));
        assert_eq!(breakers.admit("c b", at(2)), Admission::Send);
        let expected = |state, reason: &str| [("c a".to_string(), state, reason.to_string())];
        assert_eq!(states(), expected(State::Open, "SMTP 421 busy"));
        // One trial request at a time.
        assert_eq!(breakers.admit("c a", at(1_001)), Admission::Send);
        assert_eq!(breakers.admit("c a", at(1_002)), Admission::Wait(at(2_001)));
        assert_eq!(states(), expected(State::HalfOpen, "SMTP 421 busy"));
        breakers.record("c a", failed("HTTP 502"), at(1_500));
        assert_eq!(states(), expected(State::Open, "HTTP 502"));
        assert_eq!(breakers.admit("c a", at(2_002)), Admission::Wait(at(2_500)));
        assert_eq!(breakers.admit("c a", at(2_500)), Admission::Send);
        breakers.record_not_sent("c a", at(2_500));
        assert_eq!(breakers.admit("c a", at(2_501)), Admission::Send);
        breakers.record("c a", None, at(2_501));
        assert_eq!(breakers.admit("c a", at(2_501)), Admission::Send);
        assert_eq!(states(), []);
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_block_a_provider() {
        let breakers = Breakers::new(1, 1_000);
        breakers.record("c a", Some("refused".into()), WallTime(1_000_000));
        assert_eq!(breakers.admit("c a", WallTime(0)), Admission::Send);
    }

    #[test]
    fn a_provider_is_the_channel_and_the_host() {
        assert_eq!(authority("https://u:p@h.example:81/x?y@z"), "h.example:81");
        assert_eq!(authority("http://[::1]:9?x"), "[::1]:9");
    }
}
