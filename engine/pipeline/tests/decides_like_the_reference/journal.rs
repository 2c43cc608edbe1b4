//! What happened in a run that the reference does not know of: what the
//! throttle decided and when watches changed, in one order. What a failed cycle
//! added is crossed out again.

use std::sync::{Arc, Mutex};

use pricedrop_model::plugin::{Answer, Arrival, Decision, Error, Release, Subject, Throttling};
use pricedrop_model::{Currency, Pending, Price, ProductId, WallTime};
use pricedrop_testing::reference::Event;

use crate::harness::Dice;

/// One thing that happened.
#[derive(Debug, Clone)]
pub enum Entry {
    /// Watches changed.
    Changed(Event),
    /// An update met the throttle.
    Arrived { product: ProductId, currency: Currency, price: Price, now: WallTime, decision: Decision },
    /// Held updates were due.
    Due { product: ProductId, currency: Currency, pending: Pending, now: WallTime, release: Release },
}

/// All of it, in order.
#[derive(Debug, Default)]
pub struct Journal {
    entries: Vec<Entry>,
    committed: usize,
}

impl Journal {
    /// A cycle begins: the one before either committed or left nothing behind.
    pub fn begin(&mut self) {
        self.entries.truncate(self.committed);
    }

    /// What the cycle did is true now.
    pub fn commit(&mut self) {
        self.committed = self.entries.len();
    }

    /// Between two cycles watches change.
    pub fn changed(&mut self, event: &Event) {
        self.begin();
        self.entries.push(Entry::Changed(event.clone()));
        self.commit();
    }

    /// What came true.
    pub fn entries(&self) -> &[Entry] {
        &self.entries[..self.committed]
    }
}

/// A throttle that decides at random.
pub struct RandomThrottle {
    journal: Arc<Mutex<Journal>>,
    dice: Mutex<Dice>,
}

impl RandomThrottle {
    pub fn new(journal: Arc<Mutex<Journal>>, seed: u64) -> RandomThrottle {
        RandomThrottle { journal, dice: Mutex::new(Dice(seed ^ 2)) }
    }

    fn roll(&self, sides: u64) -> u64 {
        self.dice.lock().unwrap().roll(sides)
    }

    fn later(&self, now: WallTime) -> WallTime {
        WallTime(now.0 - 1 + self.roll(30) as i64)
    }
}

impl Throttling for RandomThrottle {
    fn decide(&self, arrivals: &[Arrival<'_>]) -> Vec<Result<Answer<Decision>, Error>> {
        let mut answers = Vec::new();
        for arrival in arrivals {
            let decision = match self.roll(8) {
                0..3 => Decision::Pass,
                3..7 => Decision::Hold(self.later(arrival.now)),
                _ => Decision::Skip,
            };
            self.journal.lock().unwrap().entries.push(Entry::Arrived {
                product: arrival.subject.product.clone(),
                currency: arrival.subject.currency,
                price: arrival.price,
                now: arrival.now,
                decision,
            });
            answers.push(Ok(Answer { decision, saved: None }));
        }
        answers
    }

    fn due(&self, subjects: &[Subject<'_>], now: WallTime) -> Vec<Result<Answer<Release>, Error>> {
        let mut answers = Vec::new();
        for subject in subjects {
            let release = match self.roll(8) {
                0..3 => Release::Last,
                3..6 => Release::Lowest,
                6 => Release::Hold(self.later(now)),
                _ => Release::Discard,
            };
            self.journal.lock().unwrap().entries.push(Entry::Due {
                product: subject.product.clone(),
                currency: subject.currency,
                pending: subject.pending.expect("something is due").clone(),
                now,
                release,
            });
            answers.push(Ok(Answer { decision: release, saved: None }));
        }
        answers
    }
}
