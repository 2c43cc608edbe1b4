//! The expected notifications of a run with a throttle. It repeats the throttle's decisions
//! with plain lists of held updates, and passes the prices that were released to the reference
//! as a history of their own.

use std::collections::{BTreeMap, VecDeque};

use pricedrop_model::plugin::{Decision, Release};
use pricedrop_model::{Currency, Pending, ProductId, Update};
use pricedrop_testing::history::History;
use pricedrop_testing::reference::{Event, Settled, Times, Told, Verdict, who_is_told};

use crate::journal::Entry;

/// An update that was not stale.
#[derive(Debug, Clone)]
struct Accepted {
    offset: usize,
    update: Update,
    event_ms: i64,
}

#[derive(Debug)]
enum Item {
    Accepted(Accepted),
    Tombstone,
}

/// The expected result of a history with a throttle.
pub struct Throttled {
    /// The notifications, by the offset of the update that was evaluated.
    pub told: Vec<Told>,
    /// The updates that are still held, by product and currency.
    held: BTreeMap<(ProductId, Currency), VecDeque<Accepted>>,
}

impl Throttled {
    /// Repeats the decisions of the journal.
    pub fn follow(history: &History, settled: &[Settled], journal: &[Entry]) -> Throttled {
        let mut follower = Follower::new(history, settled);
        for entry in journal {
            follower.follow(entry);
        }
        follower.finish(history)
    }

    /// Checks that the engine holds the same updates.
    pub fn assert_pending(&self, pending: &[((ProductId, Currency), Pending)]) {
        let held: Vec<_> = self.held.iter().filter(|(_, held)| !held.is_empty()).collect();
        assert_eq!(held.len(), pending.len(), "{held:?} {pending:?}");
        for ((key, held), (engine_key, pending)) in held.into_iter().zip(pending) {
            assert_eq!(key, engine_key);
            assert_eq!(pending.count as usize, held.len());
            assert_eq!(pending.first, held[0].update.price);
            assert_eq!(pending.last.position.offset as usize, held[held.len() - 1].offset);
            assert_eq!(pending.lowest.position.offset as usize, lowest(held).offset);
        }
    }
}

/// Returns the first of the updates with the lowest price.
fn lowest(held: &VecDeque<Accepted>) -> &Accepted {
    held.iter().min_by_key(|accepted| accepted.update.price).unwrap()
}

struct Follower {
    /// The remaining items of the history, by product.
    coming: BTreeMap<ProductId, VecDeque<Item>>,
    held: BTreeMap<(ProductId, Currency), VecDeque<Accepted>>,
    events: Vec<Event>,
    /// The offset of the update from which each record of the released history comes.
    offsets: Vec<usize>,
}

impl Follower {
    fn new(history: &History, settled: &[Settled]) -> Follower {
        let mut coming: BTreeMap<ProductId, VecDeque<Item>> = BTreeMap::new();
        let records = history.events.iter().filter_map(|event| match event {
            Event::Record { key, value, .. } => Some((key, value)),
            _ => None,
        });
        for (offset, ((key, value), settled)) in records.zip(settled).enumerate() {
            let (product, item) = match (settled.verdict, value) {
                (Verdict::Dead | Verdict::Stale, _) => continue,
                (_, None) => {
                    let key = std::str::from_utf8(key.as_deref().unwrap()).unwrap();
                    (ProductId::new(key).unwrap(), Item::Tombstone)
                }
                (_, Some(value)) => {
                    let update = Update::parse(value, history.rules.round_decimals).unwrap();
                    let accepted = Accepted { offset, event_ms: settled.event_ms, update };
                    (accepted.update.product.clone(), Item::Accepted(accepted))
                }
            };
            coming.entry(product).or_default().push_back(item);
        }
        Follower { coming, held: BTreeMap::new(), events: Vec::new(), offsets: Vec::new() }
    }

    fn follow(&mut self, entry: &Entry) {
        match entry {
            Entry::Changed(event) => self.events.push(event.clone()),
            Entry::Arrived { product, currency, price, now, decision } => {
                let accepted = self.next_of(product).expect("nothing arrives twice");
                assert_eq!(accepted.update.price, *price, "{accepted:?}");
                let held = self.held.entry((product.clone(), *currency)).or_default();
                match decision {
                    Decision::Pass => {
                        held.clear();
                        self.evaluate(*currency, &accepted, now.0);
                    }
                    Decision::Hold(_) => held.push_back(accepted),
                    Decision::Skip => {}
                }
            }
            // The update with the lowest price was evaluated before, and the last one directly after it.
            Entry::Due { pending, .. } if pending.released => {}
            Entry::Due { product, currency, now, release, .. } => {
                let held = self.held.entry((product.clone(), *currency)).or_default();
                let (lowest, last) = (lowest(held).clone(), held[held.len() - 1].clone());
                if !matches!(release, Release::Hold(_)) {
                    held.clear();
                }
                if *release == Release::Lowest && lowest.offset != last.offset {
                    self.evaluate(*currency, &lowest, now.0);
                }
                if matches!(release, Release::Lowest | Release::Last) {
                    self.evaluate(*currency, &last, now.0);
                }
            }
        }
    }

    /// Returns the product's next accepted update; applies the tombstones before it.
    fn next_of(&mut self, product: &ProductId) -> Option<Accepted> {
        loop {
            match self.coming.get_mut(product)?.pop_front()? {
                Item::Accepted(accepted) => return Some(accepted),
                Item::Tombstone => {
                    self.held.retain(|(held, _), _| held != product);
                    self.push(Some(product.as_str().into()), None, 0, 0, usize::MAX);
                }
            }
        }
    }

    fn evaluate(&mut self, currency: Currency, accepted: &Accepted, wall_ms: i64) {
        let product = serde_json::to_string(accepted.update.product.as_str()).unwrap();
        let price = accepted.update.price;
        let json = format!(r#"{{"productId":{product},"newPrice":{price},"currency":"{currency}"}}"#);
        self.push(None, Some(json.into()), accepted.event_ms, wall_ms, accepted.offset);
    }

    fn push(
        &mut self,
        key: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
        timestamp_ms: i64,
        wall_ms: i64,
        offset: usize,
    ) {
        self.events.push(Event::Record { key, value, timestamp_ms, wall_ms });
        self.offsets.push(offset);
    }

    fn finish(mut self, history: &History) -> Throttled {
        for product in self.coming.keys().cloned().collect::<Vec<_>>() {
            let lost = self.next_of(&product);
            assert!(lost.is_none(), "accepted, and lost: {lost:?}");
        }
        let mut told = who_is_told(&history.rules, Times::Given, &self.events).told;
        for told in &mut told {
            told.record = self.offsets[told.record];
        }
        told.sort_by_key(|told| told.record);
        Throttled { told, held: self.held }
    }
}
