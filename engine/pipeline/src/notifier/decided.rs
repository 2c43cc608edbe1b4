//! The result of deciding a batch.

use std::collections::BTreeMap;

use pricedrop_decide::Matcher;
use pricedrop_model::ports::{Commit, Outcome};
use pricedrop_model::{EventTime, Position, ProductId, StateKey};

/// What a batch has decided. Nothing of it is visible before the commit.
#[derive(Default)]
pub struct Work {
    /// What is committed.
    pub commit: Commit,
    /// The outcomes of records, reported after the commit.
    pub outcomes: Vec<(Position, Outcome)>,
    /// For each finished drop: how many users it notified, and whether its price had been notified
    /// within the window.
    pub drops: Vec<(u64, bool)>,
    /// Prices that left a full ledger before their window ended.
    pub forgotten: u64,
    /// Updates whose time is more than a day ahead of the clocks.
    pub future: Vec<FutureUpdate>,
    /// The users that unfinished fan-outs have notified.
    pub matchers: BTreeMap<StateKey, Matcher>,
}

/// An update whose time is ahead of the clocks.
pub struct FutureUpdate {
    /// The product.
    pub product: ProductId,
    /// The position of the record.
    pub position: Position,
    /// The time of the update.
    pub at: EventTime,
}

impl Work {
    /// Records the outcome of a record.
    pub fn record_outcome(&mut self, position: Position, outcome: Outcome) {
        self.outcomes.push((position, outcome));
    }
}

/// A decided batch, and which of the offered records it took.
pub struct Decided {
    /// The decided changes.
    pub work: Work,
    /// For each offered record, whether it was taken.
    pub took: Vec<bool>,
}
