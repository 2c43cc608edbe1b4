//! Self-test cases of throttling policies.

use pricedrop_model::plugin::{Answer, Arrival, Decision, Error, Release, Subject, Throttling};
use pricedrop_model::{
    Currency, Evaluated, EventTime, Partition, Pending, Position, Price, Priced, ProductId, WallTime,
};
use serde::Deserialize;

use super::values::{Number, Yes, differs};

/// A call about one product, with the expected decision.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "call", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Case {
    Decide { now_ms: i64, subject: SubjectCase, price: Number, expect: Expect },
    Due { now_ms: i64, subject: SubjectCase, expect: Expect },
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubjectCase {
    product: ProductId,
    #[serde(default = "usd")]
    currency: Currency,
    #[serde(default)]
    evaluated: Option<EvaluatedCase>,
    #[serde(default)]
    pending: Option<PendingCase>,
    #[serde(default)]
    saved: Option<pricedrop_model::state::ThrottleBytes>,
}

fn usd() -> Currency {
    Currency::USD
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct EvaluatedCase {
    price: Number,
    at_ms: i64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct PendingCase {
    first: Number,
    last: Number,
    lowest: Number,
    count: u32,
    since_ms: i64,
    due_ms: i64,
}

/// The expected decision. `Hold` has its time in epoch milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Expect {
    Pass(Yes),
    Skip(Yes),
    Hold(i64),
    Last(Yes),
    Lowest(Yes),
    Discard(Yes),
}

fn priced(price: Price) -> Priced {
    Priced {
        price,
        position: Position { partition: Partition(0), offset: 0 },
        original: None,
        event_time: EventTime(0),
        occurred_at: None,
        title: None,
        url: None,
    }
}

impl PendingCase {
    fn to_pending(&self) -> Pending {
        Pending {
            first: self.first.0,
            last: priced(self.last.0),
            lowest: priced(self.lowest.0),
            count: self.count,
            since: WallTime(self.since_ms),
            due: WallTime(self.due_ms),
            released: false,
        }
    }
}

impl SubjectCase {
    fn lend<'a>(&'a self, pending: Option<&'a Pending>) -> Subject<'a> {
        Subject {
            product: &self.product,
            currency: self.currency,
            evaluated: self
                .evaluated
                .as_ref()
                .map(|evaluated| Evaluated { price: evaluated.price.0, at: WallTime(evaluated.at_ms) }),
            pending,
            saved: self.saved.as_ref(),
        }
    }
}

pub(super) fn run(case: &Case, policy: &dyn Throttling) -> Result<(), String> {
    let (got, expect) = match case {
        Case::Decide { now_ms, subject, price, expect } => {
            let pending = subject.pending.as_ref().map(PendingCase::to_pending);
            let subject = subject.lend(pending.as_ref());
            let arrival = Arrival { subject, price: price.0, now: WallTime(*now_ms) };
            let got = match one(policy.decide(&[arrival]))? {
                Decision::Pass => Expect::Pass(Yes),
                Decision::Skip => Expect::Skip(Yes),
                Decision::Hold(until) => Expect::Hold(until.0),
            };
            (got, expect)
        }
        Case::Due { now_ms, subject, expect } => {
            let pending = subject.pending.as_ref().map(PendingCase::to_pending);
            let got = match one(policy.due(&[subject.lend(pending.as_ref())], WallTime(*now_ms)))? {
                Release::Last => Expect::Last(Yes),
                Release::Lowest => Expect::Lowest(Yes),
                Release::Discard => Expect::Discard(Yes),
                Release::Hold(until) => Expect::Hold(until.0),
            };
            (got, expect)
        }
    };
    if got == *expect { Ok(()) } else { Err(differs(expect, &got)) }
}

fn one<T>(answers: Vec<Result<Answer<T>, Error>>) -> Result<T, String> {
    let answer = answers.into_iter().next().ok_or("no answer")?;
    answer.map(|answer| answer.decision).map_err(|error| error.to_string())
}
