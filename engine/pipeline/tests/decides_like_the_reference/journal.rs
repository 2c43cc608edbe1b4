//! The events of a run that are not in its history: the decisions of the throttle, and when watches
//! changed, in one order. The entries of a batch that was not committed are dropped.

use std::sync::{Arc, Mutex};

use pricedrop_model::plugin::{Answer, Arrival, Decision, Error, Release, Subject, Throttling};
use pricedrop_model::{Currency, Pending, Price, ProductId, WallTime};
use pricedrop_testing::reference::Event;

use crate::harness::Dice;

/// One event.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "a test holds a few")]
pub enum Entry {
    /// Watches changed.
    Changed(Event),
    /// An update was passed to the throttle.
    Arrived { product: ProductId, currency: Currency, price: Price, now: WallTime, decision: Decision },
    /// Held updates were due.
    Due { product: ProductId, currency: Currency, pending: Pending, now: WallTime, release: Release },
}

/// All events, in order.
#[derive(Debug, Default)]
pub struct Journal {
    parts: Vec<Part>,
    /// The number of open views: while there is one, a batch is being decided.
    views: usize,
}

/// The events of one batch, or one change of watches.
#[derive(Debug)]
struct Part {
    entries: Vec<Entry>,
    batch: bool,
    came_true: bool,
}

/// Identifies the part that a commit confirms.
#[derive(Debug, Clone, Copy)]
pub struct Carried(usize);

impl Journal {
    /// Begins a batch: its states are loaded.
    pub fn begin(&mut self) {
        self.parts.push(Part { entries: Vec::new(), batch: true, came_true: false });
    }

    /// Records that a view opens or closes.
    pub fn view(&mut self, opens: bool) {
        self.views = if opens { self.views + 1 } else { self.views - 1 };
    }

    /// Returns the part of the commit that begins now: the batch before the one that is being
    /// decided, or the last one.
    pub fn carried(&self) -> Carried {
        let batches = self.parts.iter().enumerate().filter(|(_, part)| part.batch);
        let last = batches.rev().map(|(index, _)| index).nth(self.views).unwrap();
        Carried(last)
    }

    /// Confirms the events of a batch.
    pub fn commit(&mut self, Carried(index): Carried) {
        self.parts[index].came_true = true;
    }

    /// Records a change of watches. No batch is being decided then.
    pub fn changed(&mut self, event: &Event) {
        self.parts.push(Part { entries: vec![Entry::Changed(event.clone())], batch: false, came_true: true });
    }

    /// Returns the confirmed events.
    pub fn entries(&self) -> Vec<Entry> {
        let parts = self.parts.iter().filter(|part| part.came_true);
        parts.flat_map(|part| part.entries.clone()).collect()
    }

    fn push(&mut self, entry: Entry) {
        self.parts.last_mut().unwrap().entries.push(entry);
    }
}

/// A throttling policy that decides at random.
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
            self.journal.lock().unwrap().push(Entry::Arrived {
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
            self.journal.lock().unwrap().push(Entry::Due {
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
