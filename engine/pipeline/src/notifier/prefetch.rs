//! Prefetching: tells the view which watches a batch will probably read, so that a remote store
//! reads many products at once. The calls are hints: no decision depends on them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use pricedrop_model::plugin::{Decision, Release};
use pricedrop_model::ports::{Scan, WatchView};
use pricedrop_model::{FirstPrice, Floor, Position, Price, Priced, ProductId, Rules, StateKey};

use super::error::Failure;
use super::fan_out_reader::scan_of;
use super::intake::{Incoming, Parsed, state_key};
use super::states::States;

/// Records of a batch's first prefetch; each later one covers twice as many, up to
/// [`MAX_PREFETCH`]. The first is small, so that few rows are read unnecessarily if the commit's
/// budget ends early.
pub const FIRST_RECORDS: usize = 32;
/// Fan-outs of a batch's first prefetch of unfinished fan-outs. Few, because each may use up a
/// commit's budget.
pub const FIRST_FAN_OUTS: usize = 2;
/// Maximum number of records or fan-outs of one prefetch.
pub const MAX_PREFETCH: usize = 256;

/// Which part of a sequence is prefetched.
pub struct PrefetchRange {
    up_to: usize,
    next: usize,
}

impl PrefetchRange {
    /// The first prefetch covers `first` items.
    pub fn new(first: usize) -> PrefetchRange {
        PrefetchRange { up_to: 0, next: first }
    }

    /// Returns the range to prefetch before item `at` is processed; `None` if it is prefetched
    /// already.
    pub fn at(&mut self, at: usize, len: usize) -> Option<Range<usize>> {
        if at < self.up_to || at >= len {
            return None;
        }
        self.up_to = len.min(at + self.next);
        self.next = MAX_PREFETCH.min(self.next * 2);
        Some(at..self.up_to)
    }
}

/// What a prefetch needs: the view, and the rules and states that say which updates are drops.
pub struct Prefetch<'a> {
    /// Receives the hints.
    pub view: &'a mut dyn WatchView,
    /// The rules of the engine.
    pub rules: &'a Rules,
    /// The states as the batch has changed them so far.
    pub states: &'a States,
    /// Rows of a page.
    pub page_rows: usize,
}

impl Prefetch<'_> {
    /// Prefetches for records, as if all of them were evaluated.
    pub async fn records(self, records: &[Incoming]) -> Result<(), Failure> {
        let mut drops = Vec::new();
        let mut seen: HashMap<StateKey, Price> = HashMap::new();
        let mut forgotten: HashSet<&ProductId> = HashSet::new();
        for incoming in records {
            match &incoming.parsed {
                Err(_) => {}
                Ok(Parsed::Tombstone(product)) => {
                    seen.retain(|key, _| key.product != *product);
                    forgotten.insert(product);
                }
                Ok(Parsed::Update(update)) => {
                    let key = state_key(incoming.record.position.partition, update, self.rules);
                    let stored = || self.last(&key).filter(|_| !forgotten.contains(&update.product));
                    let last = seen.insert(key.clone(), update.price).or_else(stored);
                    drops.extend(self.is_lower(update.price, last).then_some((key, update.price)));
                }
            }
        }
        self.drops(&drops).await
    }

    /// Prefetches for updates that the throttle lets pass.
    pub async fn passed(
        self,
        updates: &[(StateKey, Position, Priced)],
        decisions: &[Decision],
    ) -> Result<(), Failure> {
        let passed = updates.iter().zip(decisions).filter(|(_, decision)| **decision == Decision::Pass);
        let prices = passed.map(|((key, _, priced), _)| (key, priced.price));
        let drops: Vec<_> = self.lower(prices).collect();
        self.drops(&drops).await
    }

    /// Prefetches for held updates that are released.
    pub async fn released(self, released: &[(&StateKey, Release)]) -> Result<(), Failure> {
        let prices = released.iter().filter_map(|(key, release)| {
            let pending = self.states.get(key)?.pending.as_ref()?;
            match release {
                Release::Last => Some((*key, pending.last.price)),
                Release::Lowest => Some((*key, pending.lowest.price)),
                Release::Hold(_) | Release::Discard => None,
            }
        });
        let drops: Vec<_> = self.lower(prices).collect();
        self.drops(&drops).await
    }

    /// Prefetches for unfinished fan-outs. The flag says whether the notified users of a fan-out
    /// are in memory. If not, the fan-out is read from its beginning.
    pub async fn running(self, running: &[(StateKey, bool)]) -> Result<(), Failure> {
        let scans = running.iter().filter_map(|(key, known)| {
            let fan_out = self.states.get(key)?.fan_out.as_deref()?;
            let after = fan_out.cursor.clone().filter(|_| *known);
            Some(Scan { after, ..scan_of(key, fan_out, fan_out.floor, self.page_rows) })
        });
        Ok(self.view.prefetch(&scans.collect::<Vec<_>>()).await?)
    }

    fn last(&self, key: &StateKey) -> Option<Price> {
        self.states.get(key)?.last.map(|last| last.price)
    }

    fn is_lower(&self, price: Price, last: Option<Price>) -> bool {
        last.map_or(self.rules.first_price == FirstPrice::Notify, |last| price < last)
    }

    fn lower<'s>(
        &'s self,
        prices: impl Iterator<Item = (&'s StateKey, Price)>,
    ) -> impl Iterator<Item = (StateKey, Price)> {
        prices
            .filter(|(key, price)| self.is_lower(*price, self.last(key)))
            .map(|(key, price)| (key.clone(), price))
    }

    /// Prefetches each product of these drops once, from its lowest price upwards.
    async fn drops(self, drops: &[(StateKey, Price)]) -> Result<(), Failure> {
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
            below: self.states.get(key).map_or(Floor::Infinite, |state| state.floor),
            hysteresis: self.rules.hysteresis,
            buckets: None,
            after: None,
            page_rows: self.page_rows,
        });
        Ok(self.view.prefetch(&scans.collect::<Vec<_>>()).await?)
    }
}
