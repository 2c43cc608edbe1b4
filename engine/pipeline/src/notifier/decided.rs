//! What a batch comes to.

use std::collections::BTreeMap;

use pricedrop_decide::Teller;
use pricedrop_model::ports::{Commit, Outcome};
use pricedrop_model::{Position, StateKey};

/// What a cycle has decided. Nothing of it is true before the commit.
#[derive(Default)]
pub struct Work {
    /// To be made true.
    pub commit: Commit,
    /// What became of records, to be told afterwards.
    pub outcomes: Vec<(Position, Outcome)>,
    /// Of each drop that is through: users told, and whether the price was told before.
    pub drops: Vec<(u64, bool)>,
    /// Told prices that left a full ledger before their window ended.
    pub forgotten: u64,
    /// Whom unfinished fan-outs have told.
    pub tellers: BTreeMap<StateKey, Teller>,
}

impl Work {
    /// Notes what became of a record.
    pub fn settle(&mut self, position: Position, outcome: Outcome) {
        self.outcomes.push((position, outcome));
    }
}

/// What was decided, and which of the records that were given it took.
pub struct Decided {
    /// To be committed.
    pub work: Work,
    /// One for each record.
    pub took: Vec<bool>,
}
