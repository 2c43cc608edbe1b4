//! Random histories, on which the [reference](crate::reference) and the engine must agree. They are
//! small and have many collisions: few products and users, prices and thresholds from one short
//! list, and times that repeat and go backwards.
//!
//! proptest generates and shrinks lists of [`Step`]s. A history depends on nothing but its steps.

mod spelling;
mod steps;
#[cfg(test)]
mod tests;

use pricedrop_model::limits::EARLIEST_MS;
use pricedrop_model::{Currency, Mode, Rules};

use crate::reference::{Event, Times, read, who_is_told};

pub use spelling::{MALFORMED, SPELLINGS, billionths_text};
pub use steps::{Plot, Seq, Step, Watched, When, plots, rules};

/// Product names. The second needs JSON escapes, the third is not ASCII.
pub const PRODUCTS: [&str; 3] = ["P", "p\"1", "Ω"];
/// User names. Some are prefixes of others, and their order is that of their bytes.
pub const USERS: [&str; 6] = ["b", "a", "B", "ab", "é", "\u{10ffff}"];
/// Prices and thresholds, the most likely first. For each hysteresis that `rules` draws, some are
/// exactly a factor of `1 + hysteresis` apart.
pub const PRICES: [&str; 15] = [
    "10",
    "11",
    "10.5",
    "9.5",
    "12",
    "10.000000001",
    "11.025",
    "11.55",
    "3",
    "3.999999",
    "4",
    "0",
    "0.000000001",
    "9007199254740991",
    "9007199.254740991",
];

/// The number of drops of a staircase: more than a product's ledger has entries.
const STAIRS: u8 = 130;
/// Prices of staircases and once-queues, in billionths.
const HIGH: i128 = 20_000_000_000;
const MIDDLE: i128 = 10_000_000_000;
const LOW: i128 = 3_000_000_000;
const WEEK_MS: i64 = 7 * 24 * 3600 * 1000;

/// Rules, and the events that happen under them.
#[derive(Debug, Clone)]
pub struct History {
    /// The rules.
    pub rules: Rules,
    /// Where event time and wall time come from.
    pub times: Times,
    /// The events, in order.
    pub events: Vec<Event>,
}

impl History {
    /// Creates a history without a clock, as `simulate` reads it from files: event time and wall
    /// time both come from the records.
    pub fn of_records(rules: Rules, plot: &Plot) -> History {
        let mut teller = Teller::new(plot, Times::OfRecords);
        let mut events = teller.tell(&plot.steps);
        // A record without `occurredAt` gets its event time as its timestamp. On other records the
        // timestamp must make no difference, so it is far in the future.
        let answer = who_is_told(&rules, Times::OfRecords, &events);
        let mut settled = answer.settled.iter();
        for event in &mut events {
            if let Event::Record { key, value, timestamp_ms, wall_ms } = event {
                let settled = settled.next().expect("every record is settled");
                *wall_ms = settled.wall_ms;
                let says_when = match read::record(key.as_deref(), value.as_deref(), rules.round_decimals) {
                    read::Read::Update(update) => update.occurred_at.is_some(),
                    _ => true,
                };
                *timestamp_ms = if says_when { 4_000_000_000_000 } else { settled.event_ms };
            }
        }
        History { rules, times: Times::OfRecords, events }
    }

    /// Creates a history with a clock. Wall time never goes backwards, and advances between a
    /// change of the watches and the next record. Event times are arbitrary.
    pub fn under_a_clock(rules: Rules, plot: &Plot) -> History {
        let events = Teller::new(plot, Times::Given).tell(&plot.steps);
        History { rules, times: Times::Given, events }
    }
}

/// Converts steps into events.
struct Teller<'a> {
    plot: &'a Plot,
    times: Times,
    now_ms: i64,
    wall_ms: i64,
    changed: bool,
    sequences: [i64; PRODUCTS.len()],
    events: Vec<Event>,
}

impl<'a> Teller<'a> {
    fn new(plot: &'a Plot, times: Times) -> Teller<'a> {
        let (now_ms, wall_ms) = (EARLIEST_MS + 10 * WEEK_MS, EARLIEST_MS + 20 * WEEK_MS);
        Teller { plot, times, now_ms, wall_ms, changed: false, sequences: [0; 3], events: Vec::new() }
    }

    fn tell(&mut self, steps: &[Step]) -> Vec<Event> {
        for step in steps {
            self.step(step);
        }
        std::mem::take(&mut self.events)
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Update { product, price, currency, seq, when, spelling } => {
                let price = spelling::spelt(self.price(*price), *spelling);
                self.update(*product, &price, *currency, *seq, *when, *spelling);
            }
            Step::Malformed { product, kind, when } => {
                let value = spelling::malformed(self.product(*product), *kind);
                self.record(None, Some(value), *when);
            }
            Step::Tombstone { product, readable } => {
                let key = if *readable { self.product(*product).into() } else { vec![0xff] };
                self.record(Some(key), None, When::Same);
            }
            Step::Put(watched) => self.put(watched),
            Step::Delete { product, user, threshold } => {
                let at = self.change_time(0);
                let (product, user) = (self.product(*product), self.user(*user));
                let threshold = self.price(*threshold);
                self.events.push(Event::Delete { product, user, threshold, at });
            }
            Step::ApplyRemovals => {
                self.changed = true;
                self.events.push(Event::ApplyRemovals);
            }
            Step::Staircase { product, user, back } => self.staircase(*product, *user, *back),
            Step::OnceQueue { product, user, length, late } => {
                self.once_queue(*product, *user, *length, *late);
            }
        }
    }

    /// Lowers the price step by step, with a notification at each step. Then raises it, and lowers
    /// it to step `back` again.
    fn staircase(&mut self, product: u8, user: u8, back: u8) {
        let stair = |number: u8| i128::from(1_000 - u32::from(number)) * 10_000_000;
        self.put_exactly(product, user, stair(0), Mode::EveryDrop);
        self.price_exactly(product, HIGH, When::Same);
        for number in 0..STAIRS {
            self.price_exactly(product, stair(number), When::Same);
        }
        self.price_exactly(product, HIGH, When::Same);
        self.price_exactly(product, stair(back), When::Same);
    }

    /// A low once-watch is notified, then `length` others above it. Then its price comes again: at
    /// once, or a week after it was notified.
    fn once_queue(&mut self, product: u8, user: u8, length: u8, late: Option<i64>) {
        self.price_exactly(product, HIGH, When::Forward(1));
        self.put_exactly(product, user, LOW, Mode::Once);
        self.price_exactly(product, LOW, When::Forward(1));
        let told_ms = self.now_ms;
        for _ in 0..length {
            self.price_exactly(product, HIGH, When::Forward(1));
            self.put_exactly(product, user, MIDDLE, Mode::Once);
            self.price_exactly(product, MIDDLE, When::Forward(1));
        }
        self.price_exactly(product, HIGH, When::Same);
        let last = late.map_or(1, |late| told_ms + WEEK_MS + late - self.now_ms);
        self.price_exactly(product, LOW, When::Forward(last));
    }

    fn price_exactly(&mut self, product: u8, price: i128, when: When) {
        self.update(product, &billionths_text(price), None, Seq::Next, when, 0);
    }

    fn put_exactly(&mut self, product: u8, user: u8, threshold: i128, mode: Mode) {
        let at = Some(self.change_time(0));
        let (product, user) = (self.product(product), self.user(user));
        self.events.push(Event::Put { product, user, threshold, mode: Some(mode), currency: None, at });
    }

    fn update(
        &mut self,
        product: u8,
        price: &str,
        currency: Option<Currency>,
        seq: Seq,
        when: When,
        spelling: u8,
    ) {
        let name = self.product(product);
        let last = &mut self.sequences[usize::from(product) % PRODUCTS.len()];
        let sequence = match seq {
            Seq::Absent => None,
            Seq::Next => Some(last.saturating_add(1)),
            Seq::Repeated => Some(*last),
            Seq::Older(by) => Some(last.saturating_sub(i64::from(by))),
            Seq::Extreme(sequence) => Some(sequence),
        };
        // In a history with sequences, single updates may have none.
        let sequence = sequence.filter(|_| self.plot.counts);
        *last = sequence.unwrap_or(*last);
        let occurred_at = self.occurs(when);
        let fields = spelling::Fields { product: &name, price, currency, sequence, occurred_at };
        let value = fields.spelt(spelling);
        self.record(None, Some(value), when);
    }

    /// Returns the `occurredAt` of a step, and advances the time if the step does.
    fn occurs(&mut self, when: When) -> Option<i64> {
        match when {
            When::Absent => None,
            When::Same => Some(self.now_ms),
            When::Forward(by) => {
                self.now_ms = self.now_ms.saturating_add(by);
                Some(self.now_ms)
            }
            When::Back(by) => Some(self.now_ms - by),
            When::Extreme(at) => Some(at),
        }
    }

    fn record(&mut self, key: Option<Vec<u8>>, value: Option<Vec<u8>>, when: When) {
        if self.changed {
            self.wall_ms += 1;
            self.changed = false;
        }
        if let When::Forward(by) = when {
            self.wall_ms += by;
        }
        let (timestamp_ms, wall_ms) = match self.times {
            Times::OfRecords => (0, 0),
            Times::Given => (self.now_ms, self.wall_ms),
        };
        self.events.push(Event::Record { key, value, timestamp_ms, wall_ms });
    }

    fn put(&mut self, watched: &Watched) {
        let at = match self.times {
            Times::OfRecords => watched.at.map(|by| self.change_time(by)),
            Times::Given => Some(self.change_time(0)),
        };
        self.events.push(Event::Put {
            product: self.product(watched.product),
            user: self.user(watched.user),
            threshold: self.price(watched.threshold),
            mode: watched.mode,
            currency: watched.currency.map(|currency| currency.to_string()),
            at,
        });
    }

    /// Returns the time of a change of a watch. With a clock, each change has its own time.
    fn change_time(&mut self, by: i64) -> i64 {
        match self.times {
            Times::OfRecords => self.now_ms.saturating_add(by),
            Times::Given => {
                self.wall_ms += 1;
                self.changed = true;
                self.wall_ms
            }
        }
    }

    fn product(&self, number: u8) -> String {
        PRODUCTS[usize::from(number % self.plot.products)].to_owned()
    }

    fn user(&self, number: u8) -> String {
        USERS[usize::from(number % self.plot.users)].to_owned()
    }

    fn price(&self, number: u8) -> i128 {
        let text = PRICES[usize::from(number % self.plot.prices)];
        read::price(text).expect("the lattice holds prices")
    }
}
