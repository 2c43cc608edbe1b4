//! Asking the throttling policy, and doing what it says.

use pricedrop_decide::{hold, release};
use pricedrop_model::plugin::{Answer, Arrival, Decision, Release, Subject};
use pricedrop_model::ports::Outcome;
use pricedrop_model::state::ThrottleBytes;
use pricedrop_model::{Position, Priced, ProductState, StateKey, WallTime};

use super::Failure;
use super::ahead::MOST_AHEAD;
use super::batch::Batch;

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

fn subject<'a>(key: &'a StateKey, state: &'a ProductState) -> Subject<'a> {
    Subject {
        product: &key.product,
        currency: key.currency,
        evaluated: state.last,
        pending: state.pending.as_ref(),
        saved: state.throttle.as_ref(),
    }
}

fn remember(state: &mut ProductState, saved: Option<Option<ThrottleBytes>>) {
    if let Some(saved) = saved {
        state.throttle = saved;
    }
}

impl Batch<'_> {
    /// One decision per update, in order.
    pub(super) fn ask_throttle(
        &mut self,
        updates: &[(StateKey, Position, Priced)],
        fail_open: &mut FailOpen,
    ) -> Vec<Decision> {
        let Some(throttling) = self.throttling.clone().filter(|_| !updates.is_empty()) else {
            return vec![Decision::Pass; updates.len()];
        };
        let arrivals: Vec<_> = updates
            .iter()
            .map(|(key, _, priced)| Arrival {
                subject: subject(key, &self.states[key].state),
                price: priced.price,
                now: self.now,
            })
            .collect();
        let answers = throttling.decide(&arrivals);
        let mut decisions = Vec::with_capacity(updates.len());
        for ((key, ..), answer) in updates.iter().zip(answers) {
            decisions.push(match answer {
                Ok(Answer { decision, saved }) => {
                    remember(self.state(key), saved);
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

    /// Does what was decided of an update.
    pub(super) async fn apply(
        &mut self,
        key: &StateKey,
        position: Position,
        priced: Priced,
        decision: Decision,
    ) -> Result<(), Failure> {
        let now = self.now;
        match decision {
            Decision::Pass => {
                self.state(key).pending = None;
                self.evaluate(key, &priced, true).await
            }
            Decision::Hold(until) => {
                hold(self.state(key), priced, now, WallTime(until.0.max(now.0 + 1)));
                self.settle(position, Outcome::Held);
                Ok(())
            }
            Decision::Skip => {
                self.settle(position, Outcome::Skipped);
                Ok(())
            }
        }
    }

    /// Releases held updates that are due, the longest due first.
    pub(super) async fn release_due(&mut self, due: &[StateKey]) -> Result<(), Failure> {
        let mut due: Vec<_> = due
            .iter()
            .filter_map(|key| {
                let state = &self.states.get(key)?.state;
                // A product's next evaluation waits until its fan-out is through.
                let pending = state.pending.as_ref().filter(|_| state.fan_out.is_none())?;
                Some((pending.due, key.clone()))
            })
            .collect();
        due.sort();
        let mut seen = std::collections::HashSet::new();
        let (now, later): (Vec<_>, Vec<_>) =
            due.into_iter().map(|(_, key)| key).partition(|key| seen.insert(key.product.clone()));
        self.release_run(&now).await?;
        for key in later {
            self.release_run(std::slice::from_ref(&key)).await?;
        }
        Ok(())
    }

    /// A run holds a product at most once.
    async fn release_run(&mut self, run: &[StateKey]) -> Result<(), Failure> {
        let released: Vec<_> = run.iter().zip(self.ask_release(run)).collect();
        for part in released.chunks(MOST_AHEAD) {
            self.announce_released(part).await?;
            for (key, decision) in part {
                self.release_one(key, *decision).await?;
            }
        }
        Ok(())
    }

    /// Lowest leaves the latest behind: evaluated at once unless the lowest is
    /// still telling.
    async fn release_one(&mut self, key: &StateKey, mut decision: Release) -> Result<(), Failure> {
        while let Some(priced) = release(self.state(key), decision) {
            self.evaluate(key, &priced, false).await?;
            let state = self.state(key);
            let follows = state.pending.as_ref().is_some_and(|pending| pending.released);
            if !follows || state.fan_out.is_some() {
                break;
            }
            decision = Release::Last;
        }
        Ok(())
    }

    fn ask_release(&mut self, run: &[StateKey]) -> Vec<Release> {
        let Some(throttling) = self.throttling.clone() else { return vec![Release::Last; run.len()] };
        let subjects: Vec<_> = run.iter().map(|key| subject(key, &self.states[key].state)).collect();
        let answers = throttling.due(&subjects, self.now);
        let mut decisions = Vec::with_capacity(run.len());
        for (key, answer) in run.iter().zip(answers) {
            let now = self.now;
            let state = self.state(key);
            let released = state.pending.as_ref().is_some_and(|pending| pending.released);
            decisions.push(match answer {
                _ if released => Release::Last,
                Ok(Answer { decision, saved }) => {
                    remember(state, saved);
                    later_than(decision, now)
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
