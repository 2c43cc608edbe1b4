//! Implements the model's trait of throttling policies by calls of the plugin, and checks every
//! answer against the contract.
//!
//! The engine stores the pending updates, their due times and the plugin's bytes. The plugin gets
//! its bytes back only if it wrote them and declares that it reads their format.

use pricedrop_model::limits::THROTTLE_STATE_BYTES;
use pricedrop_model::plugin::{self, Answer, Arrival, Decision, Release, Subject, Throttling as Policy};
use pricedrop_model::state::ThrottleBytes;
use pricedrop_model::{Price, WallTime};

use super::bindings::throttling::exports::pricedrop::throttling::policy as wire;
use super::bindings::types::Price as WirePrice;
use super::contract;
use crate::limits::HOLD_MS;
use crate::plugin::Plugin;

contract!(
    Throttling,
    Throttling,
    "pricedrop:throttling/policy@0.1.0",
    throttling,
    ThrottlingPre,
    Throttling,
    pricedrop_throttling_policy
);

/// A throttling plugin, with the format of its bytes that it writes and those that it reads.
pub(crate) struct ThrottlingPolicy {
    pub(crate) plugin: Plugin<Throttling>,
    pub(crate) writes: u32,
    pub(crate) reads: Vec<u32>,
}

const DECIDE: &str = "decide";
const DUE: &str = "due";

pub(super) fn wire_price(price: Price) -> WirePrice {
    WirePrice { units: price.units(), scale: price.scale() }
}

impl ThrottlingPolicy {
    fn wire_subject<'a>(&self, subject: &'a Subject<'_>) -> wire::Subject<'a> {
        wire::Subject {
            product: subject.product.as_str(),
            currency: subject.currency.as_str(),
            evaluated: subject.evaluated.map(|evaluated| wire::Evaluated {
                price: wire_price(evaluated.price),
                at_ms: evaluated.at.0,
            }),
            pending: subject.pending.map(|pending| wire::Pending {
                first: wire_price(pending.first),
                last: wire_price(pending.last.price),
                lowest: wire_price(pending.lowest.price),
                count: pending.count,
                since_ms: pending.since.0,
                due_ms: pending.due.0,
            }),
            saved: subject
                .saved
                .filter(|saved| saved.plugin == self.plugin.meta.id && self.reads.contains(&saved.format))
                .map(|saved| wire::Saved { format: saved.format, bytes: &saved.bytes }),
        }
    }

    /// Checks one answer against the contract. `decide` may hold an arrival until now; then it is
    /// due at once. `due` may not, because the engine would ask again forever.
    fn answer<T>(
        &self,
        function: &'static str,
        decision: T,
        held: Option<WallTime>,
        bytes: Option<Vec<u8>>,
        now: WallTime,
    ) -> Result<Answer<T>, plugin::Error> {
        let most_bytes = self.plugin.limits.state_bytes.min(THROTTLE_STATE_BYTES);
        let breach = match (held, &bytes) {
            (Some(until), _) if function == DUE && until <= now => {
                Some(format!("held until {}, which is not after now, {}", until.0, now.0))
            }
            (Some(until), _) if until.0.saturating_sub(now.0) > HOLD_MS => {
                Some(format!("held until {}, more than a year from now", until.0))
            }
            (_, Some(bytes)) if bytes.len() > most_bytes => {
                Some(format!("{} bytes of state; at most {most_bytes} (limit state_bytes)", bytes.len()))
            }
            _ => None,
        };
        if let Some(breach) = breach {
            self.plugin.breached(function, &breach);
            return Err(self.plugin.error(function, &breach));
        }
        Ok(Answer { decision, saved: bytes.map(|bytes| self.saved(bytes)) })
    }

    fn saved(&self, bytes: Vec<u8>) -> Option<ThrottleBytes> {
        let plugin = || self.plugin.meta.id.clone();
        (!bytes.is_empty()).then(|| ThrottleBytes { plugin: plugin(), format: self.writes, bytes })
    }
}

impl Policy for ThrottlingPolicy {
    fn decide(&self, arrivals: &[Arrival<'_>]) -> Vec<Result<Answer<Decision>, plugin::Error>> {
        let updates: Vec<wire::Update<'_>> = arrivals
            .iter()
            .map(|arrival| wire::Update {
                subject: self.wire_subject(&arrival.subject),
                price: wire_price(arrival.price),
                now_ms: arrival.now.0,
            })
            .collect();
        let answers = self.plugin.call_batch(DECIDE, &updates, |exports, store, updates| {
            exports.pricedrop_throttling_policy().call_decide(store, updates)
        });
        let check = |(answer, arrival): (Result<wire::Decided, _>, &Arrival<'_>)| {
            let decided = answer?;
            let (decision, held) = match decided.decision {
                wire::Decision::Pass => (Decision::Pass, None),
                wire::Decision::Hold(until) => {
                    let until = WallTime(until).max(arrival.now);
                    (Decision::Hold(until), Some(until))
                }
                wire::Decision::Skip => (Decision::Skip, None),
            };
            self.answer(DECIDE, decision, held, decided.bytes, arrival.now)
        };
        answers.into_iter().zip(arrivals).map(check).collect()
    }

    fn due(&self, subjects: &[Subject<'_>], now: WallTime) -> Vec<Result<Answer<Release>, plugin::Error>> {
        let subjects: Vec<wire::Subject<'_>> =
            subjects.iter().map(|subject| self.wire_subject(subject)).collect();
        let answers = self.plugin.call_batch(DUE, &subjects, |exports, store, subjects| {
            exports.pricedrop_throttling_policy().call_due(store, subjects, now.0)
        });
        let check = |answer: Result<wire::Released, _>| {
            let released = answer?;
            let (release, held) = match released.release {
                wire::Release::Last => (Release::Last, None),
                wire::Release::Lowest => (Release::Lowest, None),
                wire::Release::Hold(until) => (Release::Hold(WallTime(until)), Some(WallTime(until))),
                wire::Release::Discard => (Release::Discard, None),
            };
            self.answer(DUE, release, held, released.bytes, now)
        };
        answers.into_iter().map(check).collect()
    }
}
