//! The reference model: a second implementation of who is notified, as simple as possible. It keeps
//! the whole history and replays it for every question. It has no floor, no ledger, no pages and no
//! plugins: for each crossing watch it computes from the first price on whether the watch is armed.
//!
//! Invariant: it shares only the types of the rules with the engine. It parses records itself
//! ([`read`]) and counts amounts in billionths. Throttling is not part of it, and it is slow.

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

/// One event of a history. The order of the events is the order in which they happen; it also
/// decides which of two events with the same time is the later one.
#[derive(Clone, PartialEq, Eq)]
pub enum Event {
    /// A record of the input.
    Record {
        /// Its key, if any.
        key: Option<Vec<u8>>,
        /// Its value. A record without one is a tombstone.
        value: Option<Vec<u8>>,
        /// Its timestamp, epoch milliseconds. Used with [`Times::Given`] only.
        timestamp_ms: i64,
        /// The engine's clock at that time, epoch milliseconds. Used with [`Times::Given`] only.
        wall_ms: i64,
    },
    /// A watch is written. It may replace one.
    Put {
        /// The product.
        product: String,
        /// The user.
        user: String,
        /// The threshold in billionths.
        threshold: i128,
        /// Its mode. `None` means that of the rules.
        mode: Option<Mode>,
        /// Its currency. `None` means that of the rules.
        currency: Option<String>,
        /// Its `updated_at`, epoch milliseconds. `None` means the row has none.
        at: Option<i64>,
    },
    /// A watch is deleted, if it exists.
    Delete {
        /// The product.
        product: String,
        /// The user.
        user: String,
        /// The threshold in billionths.
        threshold: i128,
        /// When, epoch milliseconds.
        at: i64,
    },
    /// Pending removals are applied: notified once-watches are deleted, unless they were written
    /// again since.
    ApplyRemovals,
}

/// Where event time and wall time come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// Both are the update's `occurredAt`. Without one, they are the latest time of an accepted
    /// update of the product, or 0. Files without a clock are read in this way.
    OfRecords,
    /// Event time is `occurredAt`, or the record's timestamp without one. Wall time is the one
    /// given with the record.
    Given,
}

/// One notification. Amounts are billionths.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Told {
    /// The record that caused it: its number among the records, from 0.
    pub record: usize,
    /// The lowest of the user's thresholds that fired.
    pub watch_price: i128,
    /// The user.
    pub user: String,
    /// The product.
    pub product: String,
    /// The price that the product dropped to.
    pub price: i128,
    /// The price before. `None` means this is the product's first price.
    pub previous: Option<i128>,
    /// The currency of all three amounts.
    pub currency: String,
}

/// The outcome of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was not an update.
    Dead,
    /// It was a tombstone.
    Tombstone,
    /// It was older than an accepted update.
    Stale,
    /// It was evaluated and is not a drop, or is a first price that is only stored.
    NotLower,
    /// It was evaluated and is a drop.
    Drop {
        /// How many users were notified.
        told: u64,
        /// Whether the same price was notified within the deduplication window.
        told_before: bool,
    },
}

/// The outcome of one record, with its times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// The outcome.
    pub verdict: Verdict,
    /// Its event time, epoch milliseconds.
    pub event_ms: i64,
    /// Its wall time, epoch milliseconds.
    pub wall_ms: i64,
}

/// How many records and notifications of each kind there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Counts {
    pub updates: u64,
    pub stale: u64,
    pub drops: u64,
    pub notifications: u64,
    pub dead: u64,
}

/// The result of a history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// The notifications, in order.
    pub told: Vec<Told>,
    /// The outcome of each record, in order.
    pub settled: Vec<Settled>,
}

impl Answer {
    /// Counts the records and notifications of each kind.
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

/// Returns who is notified when these events happen under these rules.
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
    /// The number of the event that wrote it.
    version: u64,
}

/// Product, threshold and user. Rows are read in this order.
type RowKey = (String, i128, String);

struct World<'a> {
    rules: &'a Rules,
    times: Times,
    rows: BTreeMap<RowKey, Row>,
    /// How many events have happened.
    happened: u64,
    /// Once-watches that were notified, with the versions that were.
    removals: Vec<(RowKey, u64)>,
    /// The prices by product and currency.
    prices: BTreeMap<(String, String), Prices>,
    /// The event times of all accepted updates, each with its product.
    accepted_times: Vec<(String, i64)>,
    answer: Answer,
}

/// The event time and wall time of an update.
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
            happened: 0,
            removals: Vec::new(),
            prices: BTreeMap::new(),
            accepted_times: Vec::new(),
            answer: Answer::default(),
        }
    }

    fn happen(&mut self, event: &Event) {
        self.happened += 1;
        match event {
            Event::Record { key, value, timestamp_ms, wall_ms } => {
                let given = Now { event_ms: *timestamp_ms, wall_ms: *wall_ms };
                self.record(key.as_deref(), value.as_deref(), given);
            }
            Event::Put { product, user, threshold, mode, currency, at } => {
                let row = Row {
                    mode: mode.unwrap_or(self.rules.mode),
                    currency: currency.clone().unwrap_or_else(|| self.rules.currency.to_string()),
                    updated_at: *at,
                    version: self.happened,
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
        let read = read::record(key, value, self.rules.round_decimals);
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
        let moment = (now.wall_ms, self.happened);
        prices.age_once_drops(now.wall_ms);
        let told_before = prices.told_before(update.price, now.event_ms, self.rules);
        let (mut told_every_drop, mut told_once) = (false, false);
        let mut told: Vec<Told> = Vec::new();
        for (row_key, row) in &self.rows {
            let (product, threshold, user) = row_key;
            if *product != update.product || row.currency != currency || *threshold < update.price {
                continue;
            }
            let written = row.updated_at.map(|at| (at, row.version));
            let fires = match row.mode {
                Mode::EveryDrop => match told_before {
                    Some(drop) => written.is_some_and(|written| written > drop),
                    None => true,
                },
                Mode::Crossing => prices.armed(*threshold, self.rules),
                Mode::Once => {
                    prices.armed(*threshold, self.rules)
                        && !prices.fired_once(*threshold, written, self.rules)
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
        prices.fell(update.price, now.event_ms, moment, told_every_drop, told_once);
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
