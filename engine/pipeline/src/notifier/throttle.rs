//! Calls the throttling policy, and decides without it if it fails.

use std::sync::Arc;

use pricedrop_model::plugin::{Answer, Arrival, Decision, Release, Subject, Throttling};
use pricedrop_model::state::ThrottleBytes;
use pricedrop_model::{Position, Priced, ProductState, StateKey, WallTime};

use super::metrics::Metrics;
use super::states::States;

/// The cap on updates that pass while the throttle fails. Further updates are held for a second, so
/// that a broken plugin does not let a flood of notifications through.
#[derive(Debug, Clone, Copy)]
pub struct FailOpen {
    per_second: u32,
    second: i64,
    passed: u32,
}

impl FailOpen {
    /// A cap of `per_second` updates per second.
    pub fn new(per_second: u32) -> FailOpen {
        FailOpen { per_second, second: 0, passed: 0 }
    }

    fn decide(&mut self, now: WallTime) -> Decision {
        let second = now.0.div_euclid(1_000);
        if second != self.second {
            (self.second, self.passed) = (second, 0);
        }
        if self.passed >= self.per_second {
            return Decision::Hold(WallTime(now.0 + 1_000));
        }
        self.passed += 1;
        Decision::Pass
    }
}

fn subject<'a>(key: &'a StateKey, states: &'a States) -> Subject<'a> {
    let state = states.get(key);
    Subject {
        product: &key.product,
        currency: key.currency,
        evaluated: state.and_then(|state| state.last),
        pending: state.and_then(|state| state.pending.as_ref()),
        saved: state.and_then(|state| state.throttle.as_ref()),
    }
}

fn remember(state: &mut ProductState, saved: Option<Option<ThrottleBytes>>) {
    if let Some(saved) = saved {
        state.throttle = saved;
    }
}

/// The throttling policy of a batch. Without a policy everything passes.
pub struct Throttle<'a> {
    throttling: Option<Arc<dyn Throttling>>,
    metrics: &'a Metrics,
    now: WallTime,
}

impl Throttle<'_> {
    /// The policy, asked with the wall time `now`.
    pub fn new(throttling: Option<Arc<dyn Throttling>>, metrics: &Metrics, now: WallTime) -> Throttle<'_> {
        Throttle { throttling, metrics, now }
    }

    /// Whether there is a policy.
    pub fn is_active(&self) -> bool {
        self.throttling.is_some()
    }

    /// Returns one decision per update, in order. If the policy fails, the cap decides.
    pub fn decide(
        &self,
        states: &mut States,
        updates: &[(StateKey, Position, Priced)],
        fail_open: &mut FailOpen,
    ) -> Vec<Decision> {
        let Some(throttling) = self.throttling.as_ref().filter(|_| !updates.is_empty()) else {
            return vec![Decision::Pass; updates.len()];
        };
        let arrivals: Vec<_> = updates
            .iter()
            .map(|(key, _, priced)| Arrival {
                subject: subject(key, states),
                price: priced.price,
                now: self.now,
            })
            .collect();
        let answers = throttling.decide(&arrivals);
        let mut decisions = Vec::with_capacity(updates.len());
        for ((key, ..), answer) in updates.iter().zip(answers) {
            decisions.push(match answer {
                Ok(Answer { decision, saved }) => {
                    remember(states.change(key), saved);
                    decision
                }
                Err(error) => {
                    // The plugin host has logged the failure, once and not for every update.
                    tracing::debug!(%error, product = %key.product, "the throttling policy failed; the update is decided without it");
                    self.metrics.failed_open.inc();
                    fail_open.decide(self.now)
                }
            });
        }
        decisions
    }

    /// Returns one decision per state with a held update that is due, in order. If the policy fails,
    /// the latest update is released.
    pub fn release(&self, states: &mut States, run: &[StateKey]) -> Vec<Release> {
        let Some(throttling) = &self.throttling else { return vec![Release::Last; run.len()] };
        let subjects: Vec<_> = run.iter().map(|key| subject(key, states)).collect();
        let answers = throttling.due(&subjects, self.now);
        let mut decisions = Vec::with_capacity(run.len());
        for (key, answer) in run.iter().zip(answers) {
            let state = states.change(key);
            let released = state.pending.as_ref().is_some_and(|pending| pending.released);
            decisions.push(match answer {
                _ if released => Release::Last,
                Ok(Answer { decision, saved }) => {
                    remember(state, saved);
                    later_than(decision, self.now)
                }
                Err(error) => {
                    tracing::debug!(%error, product = %key.product, "the throttling policy failed; the held update is released");
                    Release::Last
                }
            });
        }
        decisions
    }
}

/// Moves the end of a hold into the future, because a timer that is due already would never wait.
fn later_than(decision: Release, now: WallTime) -> Release {
    match decision {
        Release::Hold(until) => Release::Hold(WallTime(until.0.max(now.0 + 1))),
        decision => decision,
    }
}
