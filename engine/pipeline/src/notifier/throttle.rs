//! Asking the throttling policy, and what applies when it does not answer.

use std::sync::Arc;

use pricedrop_model::plugin::{Answer, Arrival, Decision, Release, Subject, Throttling};
use pricedrop_model::state::ThrottleBytes;
use pricedrop_model::{Position, Priced, ProductState, StateKey, WallTime};

use super::metrics::Metrics;
use super::states::States;

/// A failing throttle lets updates pass, but only so many a second: beyond,
/// they are held. So neither a broken plugin nor a flickering price floods.
#[derive(Debug, Clone, Copy)]
pub struct FailOpen {
    per_second: u32,
    second: i64,
    passed: u32,
}

impl FailOpen {
    /// With this cap.
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

/// The throttling policy of a batch; without one everything passes.
pub struct Throttle<'a> {
    throttling: Option<Arc<dyn Throttling>>,
    metrics: &'a Metrics,
    now: WallTime,
}

impl Throttle<'_> {
    /// Asked at this time.
    pub fn new(throttling: Option<Arc<dyn Throttling>>, metrics: &Metrics, now: WallTime) -> Throttle<'_> {
        Throttle { throttling, metrics, now }
    }

    /// Whether there is a policy.
    pub fn is_active(&self) -> bool {
        self.throttling.is_some()
    }

    /// One decision per update, in order.
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
                    // The host has warned of the failure itself, once and not per update.
                    tracing::debug!(%error, product = %key.product, "passing without the throttle");
                    self.metrics.failed_open.inc();
                    fail_open.decide(self.now)
                }
            });
        }
        decisions
    }

    /// One decision per held update that is due, in order.
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
                    tracing::debug!(%error, product = %key.product, "releasing without the throttle");
                    Release::Last
                }
            });
        }
        decisions
    }
}

/// Holding on means holding into the future.
fn later_than(decision: Release, now: WallTime) -> Release {
    match decision {
        Release::Hold(until) => Release::Hold(WallTime(until.0.max(now.0 + 1))),
        decision => decision,
    }
}
