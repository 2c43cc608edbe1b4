//! What a batch is probably going to read, told to the view beforehand, so
//! that a remote store reads many products at once. Hints: they may name too
//! much and change no decision.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use pricedrop_model::plugin::{Decision, Release};
use pricedrop_model::ports::Scan;
use pricedrop_model::{FirstPrice, Floor, Position, Price, Priced, ProductId, StateKey};

use super::Failure;
use super::batch::Batch;
use super::intake::{Incoming, Says};
use super::reading::scan_of;

/// What is announced at first; then twice as much each time, while there is
/// room for it. So not much more is read in vain than is told.
pub const RECORDS_AHEAD: usize = 32;
/// As [`RECORDS_AHEAD`], of fan-outs that go on: each may fill a commit.
pub const FAN_OUTS_AHEAD: usize = 2;
/// Most that is announced at once.
pub const MOST_AHEAD: usize = 256;

/// How much of a sequence is announced.
pub struct Ahead {
    up_to: usize,
    next: usize,
}

impl Ahead {
    /// Begins with so many.
    pub fn new(first: usize) -> Ahead {
        Ahead { up_to: 0, next: first }
    }

    /// What to announce, when it is the turn of the one `at` this place.
    pub fn at(&mut self, at: usize, len: usize) -> Option<Range<usize>> {
        if at < self.up_to || at >= len {
            return None;
        }
        self.up_to = len.min(at + self.next);
        self.next = MOST_AHEAD.min(self.next * 2);
        Some(at..self.up_to)
    }
}

impl Batch<'_> {
    /// Records, as if all of them were evaluated.
    pub(super) async fn announce_records(&mut self, records: &[Incoming]) -> Result<(), Failure> {
        let mut drops = Vec::new();
        let mut seen: HashMap<StateKey, Price> = HashMap::new();
        let mut forgotten: HashSet<&ProductId> = HashSet::new();
        for incoming in records {
            match &incoming.says {
                Err(_) => {}
                Ok(Says::Tombstone(product)) => {
                    seen.retain(|key, _| key.product != *product);
                    forgotten.insert(product);
                }
                Ok(Says::Update(update)) => {
                    let key = self.key(incoming.record.position.partition, update);
                    let stored = || self.last(&key).filter(|_| !forgotten.contains(&update.product));
                    let last = seen.insert(key.clone(), update.price).or_else(stored);
                    drops.extend(self.is_lower(update.price, last).then_some((key, update.price)));
                }
            }
        }
        self.announce(&drops).await
    }

    /// Updates that the throttle lets pass.
    pub(super) async fn announce_passed(
        &mut self,
        updates: &[(StateKey, Position, Priced)],
        decisions: &[Decision],
    ) -> Result<(), Failure> {
        let passed = updates.iter().zip(decisions).filter(|(_, decision)| **decision == Decision::Pass);
        let prices = passed.map(|((key, _, priced), _)| (key, priced.price));
        let drops: Vec<_> = self.lower(prices).collect();
        self.announce(&drops).await
    }

    /// Held updates that are released.
    pub(super) async fn announce_released(
        &mut self,
        released: &[(&StateKey, Release)],
    ) -> Result<(), Failure> {
        let prices = released.iter().filter_map(|(key, release)| {
            let pending = self.states.get(*key)?.state.pending.as_ref()?;
            match release {
                Release::Last => Some((*key, pending.last.price)),
                Release::Lowest => Some((*key, pending.lowest.price)),
                Release::Hold(_) | Release::Discard => None,
            }
        });
        let drops: Vec<_> = self.lower(prices).collect();
        self.announce(&drops).await
    }

    /// Fan-outs that go on, each with whether it is known whom it has told: else
    /// it is read from its beginning.
    pub(super) async fn announce_running(&mut self, running: &[(StateKey, bool)]) -> Result<(), Failure> {
        let page_rows = self.options.page_rows.min(self.budget.max(1));
        let scans = running.iter().filter_map(|(key, known)| {
            let fan_out = self.states.get(key)?.state.fan_out.as_deref()?;
            let after = fan_out.cursor.clone().filter(|_| *known);
            Some(Scan { after, ..scan_of(key, fan_out, fan_out.floor, page_rows) })
        });
        Ok(self.view.prefetch(&scans.collect::<Vec<_>>()).await?)
    }

    fn last(&self, key: &StateKey) -> Option<Price> {
        self.states.get(key)?.state.last.map(|last| last.price)
    }

    fn is_lower(&self, price: Price, last: Option<Price>) -> bool {
        last.map_or(self.options.rules.first_price == FirstPrice::Notify, |last| price < last)
    }

    fn lower<'s>(
        &'s self,
        prices: impl Iterator<Item = (&'s StateKey, Price)>,
    ) -> impl Iterator<Item = (StateKey, Price)> {
        prices
            .filter(|(key, price)| self.is_lower(*price, self.last(key)))
            .map(|(key, price)| (key.clone(), price))
    }

    /// Each product once, from its lowest price on.
    async fn announce(&mut self, drops: &[(StateKey, Price)]) -> Result<(), Failure> {
        let mut ranges: BTreeMap<&ProductId, (Price, &StateKey)> = BTreeMap::new();
        for (key, price) in drops {
            let range = ranges.entry(&key.product).or_insert((*price, key));
            range.0 = range.0.min(*price);
        }
        if ranges.is_empty() {
            return Ok(());
        }
        let scans = ranges.into_iter().map(|(product, (from, key))| Scan {
            product,
            from,
            below: self.states.get(key).map_or(Floor::Infinite, |held| held.state.floor),
            hysteresis: self.options.rules.hysteresis,
            buckets: None,
            after: None,
            page_rows: self.options.page_rows.min(self.budget.max(1)),
        });
        Ok(self.view.prefetch(&scans.collect::<Vec<_>>()).await?)
    }
}
