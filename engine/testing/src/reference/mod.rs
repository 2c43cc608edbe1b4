//! The reference: who is told, written down a second time and as plainly as
//! possible. It keeps the whole history and goes over it again for every
//! question: no floor, no ledger, no page, no plugin; one armed-or-spent flag
//! per crossing watch, worked out from the first price on.
//!
//! It shares nothing with the engine but the type of the rules: it reads
//! records itself ([`read`]) and counts money in billionths. Throttling is not
//! in it. Speed is not either.

mod prices;
pub mod read;
#[cfg(test)]
mod reading_tests;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use pricedrop_model::{FirstPrice, Mode, Rules};

use prices::Prices;
use read::{Read, Update};

/// One thing that happens. Their order is the order of the history.
#[derive(Clone, PartialEq, Eq)]
pub enum Event {
    /// A record of the input.
    Record {
        /// Its key, if any.
        key: Option<Vec<u8>>,
        /// Its value; none is a tombstone.
        value: Option<Vec<u8>>,
        /// Its timestamp, used under [`Times::Given`] alone.
        timestamp_ms: i64,
        /// The engine's clock then, used under [`Times::Given`] alone.
        wall_ms: i64,
    },
    /// A watch is written, new or anew.
    Put {
        /// Of this product.
        product: String,
        /// For this user.
        user: String,
        /// At or below this many billionths.
        threshold: i128,
        /// None: the rules'.
        mode: Option<Mode>,
        /// None: the rules'.
        currency: Option<String>,
        /// Its `updated_at`; none: the row has none.
        at: Option<i64>,
    },
    /// A watch is deleted, if it is there.
    Delete {
        /// Of this product.
        product: String,
        /// For this user.
        user: String,
        /// At or below this many billionths.
        threshold: i128,
        /// When.
        at: i64,
    },
    /// The remover runs: it deletes every told once-watch not written anew.
    ApplyRemovals,
}

/// What event time and wall time are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// Both are the update's `occurredAt`, else the latest time of an accepted
    /// update of the product, else 0: files without a clock.
    OfRecords,
    /// Event time is `occurredAt`, else the record's timestamp; wall time is
    /// the one given with the record.
    Given,
}

/// One notification. Amounts are billionths.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Told {
    /// Which record told it: its number among the records, from 0.
    pub record: usize,
    /// The lowest threshold of the user that fired.
    pub watch_price: i128,
    /// Who.
    pub user: String,
    /// Of which product.
    pub product: String,
    /// Its price.
    pub price: i128,
    /// Its price before; none: the first ever seen.
    pub previous: Option<i128>,
    /// Of all three.
    pub currency: String,
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was no update.
    Dead,
    /// It forgot a product.
    Tombstone,
    /// It was older than one already seen.
    Stale,
    /// It was evaluated, and no drop; or the first price, only remembered.
    NotLower,
    /// A drop.
    Drop {
        /// How many users were told.
        told: u64,
        /// Whether the same price was told within the window.
        told_before: bool,
    },
}

/// What happened to one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// What became of it.
    pub verdict: Verdict,
    /// Its event time.
    pub event_ms: i64,
    /// Its wall time.
    pub wall_ms: i64,
}

/// How often each thing happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Counts {
    pub updates: u64,
    pub stale: u64,
    pub drops: u64,
    pub notifications: u64,
    pub dead: u64,
}

/// All that a history leads to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// The notifications in order.
    pub told: Vec<Told>,
    /// What became of each record.
    pub settled: Vec<Settled>,
}

impl Answer {
    /// How often each thing happened.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts { notifications: self.told.len() as u64, ..Counts::default() };
        for settled in &self.settled {
            match settled.verdict {
                Verdict::Dead => counts.dead += 1,
                Verdict::Tombstone => {}
                Verdict::Stale => counts.stale += 1,
                Verdict::NotLower => {}
                Verdict::Drop { .. } => counts.drops += 1,
            }
            if !matches!(settled.verdict, Verdict::Dead | Verdict::Tombstone) {
                counts.updates += 1;
            }
        }
        counts
    }
}

/// Who is told, when these things happen under these rules.
pub fn who_is_told(rules: &Rules, times: Times, events: &[Event]) -> Answer {
    let mut world = World::new(rules, times);
    for event in events {
        world.happen(event);
    }
    world.answer
}

/// A row of the watch store.
#[derive(Debug, Clone)]
struct Row {
    mode: Mode,
    currency: String,
    updated_at: Option<i64>,
    /// Tells one writing of the row from the next.
    version: u64,
}

/// A row by product, threshold and user: in this order.
type RowKey = (String, i128, String);

struct World<'a> {
    rules: &'a Rules,
    times: Times,
    rows: BTreeMap<RowKey, Row>,
    versions: u64,
    /// Once-watches that were told, and their versions.
    removals: Vec<(RowKey, u64)>,
    /// By product and currency.
    prices: BTreeMap<(String, String), Prices>,
    /// The times of all accepted updates, by product.
    accepted_times: Vec<(String, i64)>,
    answer: Answer,
}

/// When an update happens.
#[derive(Debug, Clone, Copy)]
struct Now {
    event_ms: i64,
    wall_ms: i64,
}

impl<'a> World<'a> {
    fn new(rules: &'a Rules, times: Times) -> World<'a> {
        World {
            rules,
            times,
            rows: BTreeMap::new(),
            versions: 0,
            removals: Vec::new(),
            prices: BTreeMap::new(),
            accepted_times: Vec::new(),
            answer: Answer::default(),
        }
    }

    fn happen(&mut self, event: &Event) {
        match event {
            Event::Record { key, value, timestamp_ms, wall_ms } => {
                let given = Now { event_ms: *timestamp_ms, wall_ms: *wall_ms };
                self.record(key.as_deref(), value.as_deref(), given);
            }
            Event::Put { product, user, threshold, mode, currency, at } => {
                self.versions += 1;
                let row = Row {
                    mode: mode.unwrap_or(self.rules.mode),
                    currency: currency.clone().unwrap_or_else(|| self.rules.currency.to_string()),
                    updated_at: *at,
                    version: self.versions,
                };
                self.rows.insert((product.clone(), *threshold, user.clone()), row);
            }
            Event::Delete { product, user, threshold, .. } => {
                self.rows.remove(&(product.clone(), *threshold, user.clone()));
            }
            Event::ApplyRemovals => self.apply_removals(),
        }
    }

    fn apply_removals(&mut self) {
        for (key, version) in std::mem::take(&mut self.removals) {
            if self.rows.get(&key).is_some_and(|row| row.version == version) {
                self.rows.remove(&key);
            }
        }
    }

    fn record(&mut self, key: Option<&[u8]>, value: Option<&[u8]>, given: Now) {
        let read = read::record(key, value);
        let mut now = given;
        if let Read::Update(update) = &read {
            now = self.now(update, given);
        }
        let verdict = match read {
            Read::Dead => Verdict::Dead,
            Read::Tombstone { product } => {
                for ((of, _), prices) in &mut self.prices {
                    if *of == product {
                        prices.forget();
                    }
                }
                Verdict::Tombstone
            }
            Read::Update(update) => self.update(&update, now),
        };
        self.answer.settled.push(Settled { verdict, event_ms: now.event_ms, wall_ms: now.wall_ms });
    }

    fn now(&self, update: &Update, given: Now) -> Now {
        if self.times == Times::Given {
            return Now { event_ms: update.occurred_at.unwrap_or(given.event_ms), ..given };
        }
        let of_product = self.accepted_times.iter().filter(|(product, _)| *product == update.product);
        let latest = of_product.map(|(_, time)| *time).max().unwrap_or(0);
        let time = update.occurred_at.unwrap_or(latest);
        Now { event_ms: time, wall_ms: time }
    }

    fn update(&mut self, update: &Update, now: Now) -> Verdict {
        let currency = update.currency.clone().unwrap_or_else(|| self.rules.currency.to_string());
        let prices = self.prices.entry((update.product.clone(), currency.clone())).or_default();
        if prices.is_stale(update) {
            return Verdict::Stale;
        }
        prices.accept(update);
        self.accepted_times.push((update.product.clone(), now.event_ms));
        let previous = prices.last();
        let only_remembered = previous.is_none() && self.rules.first_price == FirstPrice::Baseline;
        if only_remembered || previous.is_some_and(|previous| update.price >= previous) {
            prices.rose(update.price);
            return Verdict::NotLower;
        }
        self.drop(update, &currency, previous, now)
    }

    fn drop(&mut self, update: &Update, currency: &str, previous: Option<i128>, now: Now) -> Verdict {
        let key = (update.product.clone(), currency.to_owned());
        let prices = self.prices.get_mut(&key).expect("the update was accepted there");
        prices.age_once_drops(now.wall_ms);
        let told_before = prices.told_before(update.price, now.event_ms, self.rules);
        let (mut told_every_drop, mut told_once) = (false, false);
        let mut told: Vec<Told> = Vec::new();
        for (row_key, row) in &self.rows {
            let (product, threshold, user) = row_key;
            if *product != update.product || row.currency != currency || *threshold < update.price {
                continue;
            }
            let fires = match row.mode {
                Mode::EveryDrop => match told_before {
                    Some(wall_ms) => row.updated_at.is_some_and(|at| at > wall_ms),
                    None => true,
                },
                Mode::Crossing => prices.armed(*threshold, self.rules),
                Mode::Once => {
                    prices.armed(*threshold, self.rules)
                        && !prices.fired_once(*threshold, row.updated_at, self.rules)
                }
            };
            if !fires {
                continue;
            }
            told_every_drop |= row.mode == Mode::EveryDrop;
            if row.mode == Mode::Once {
                told_once = true;
                self.removals.push((row_key.clone(), row.version));
            }
            if told.iter().all(|told| told.user != *user) {
                told.push(Told {
                    record: self.answer.settled.len(),
                    watch_price: *threshold,
                    user: user.clone(),
                    product: product.clone(),
                    price: update.price,
                    previous,
                    currency: currency.to_owned(),
                });
            }
        }
        prices.fell(update.price, now.event_ms, now.wall_ms, told_every_drop, told_once);
        let count = told.len() as u64;
        self.answer.told.append(&mut told);
        Verdict::Drop { told: count, told_before: told_before.is_some() }
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes: &Option<Vec<u8>>| match bytes {
            Some(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            None => "none".to_owned(),
        };
        match self {
            Event::Record { key, value, timestamp_ms, wall_ms } => {
                let (key, value) = (text(key), text(value));
                write!(f, "record {value} key {key} timestamp {timestamp_ms} wall {wall_ms}")
            }
            Event::Put { product, user, threshold, mode, currency, at } => {
                let (mode, currency) = (mode.map_or("-", Mode::name), currency.as_deref().unwrap_or("-"));
                write!(f, "put {product} {threshold}n {user} {mode} {currency} at {at:?}")
            }
            Event::Delete { product, user, threshold, at } => {
                write!(f, "delete {product} {threshold}n {user} at {at}")
            }
            Event::ApplyRemovals => f.write_str("apply removals"),
        }
    }
}
