//! All prices that one product ever had in one currency, and the questions that the reference asks
//! about them.

use pricedrop_model::Rules;

use super::read::Update;

/// The reference has its own copies of the limits.
const TOLD_PRICES: usize = 128;
const ONCE_DROPS: usize = 16;
const ONCE_DROP_MS: i128 = 7 * 24 * 3600 * 1000;

/// A wall time, epoch milliseconds, and the number of the event. The number decides between events
/// with the same time.
pub(super) type Moment = (i64, u64);

#[derive(Debug, Default)]
pub(super) struct Prices {
    /// Sequence and `occurredAt` of each accepted update since the last tombstone.
    accepted: Vec<(Option<i64>, Option<i64>)>,
    /// Every price evaluated since the last tombstone.
    evaluated: Vec<Evaluated>,
    /// Drops that notified a once-watch. A tombstone does not remove them.
    once_drops: Vec<OnceDrop>,
}

#[derive(Debug, Clone, Copy)]
struct Evaluated {
    price: i128,
    /// None if it was not a drop.
    drop: Option<Drop>,
}

#[derive(Debug, Clone, Copy)]
struct Drop {
    event_ms: i64,
    moment: Moment,
    told_every_drop: bool,
}

#[derive(Debug)]
struct OnceDrop {
    price: i128,
    moment: Moment,
    /// All evaluated prices before it.
    before: Vec<i128>,
}

/// The last drop to a price.
struct LastDrop {
    price: i128,
    event_ms: i64,
    moment: Moment,
}

impl Prices {
    pub fn is_stale(&self, update: &Update) -> bool {
        let sequence = self.accepted.iter().filter_map(|(sequence, _)| *sequence).max();
        let occurred_at = self.accepted.iter().filter_map(|(_, occurred_at)| *occurred_at).max();
        match (update.sequence, update.occurred_at) {
            (Some(new), _) => sequence.is_some_and(|last| new <= last),
            (None, Some(new)) => occurred_at.is_some_and(|latest| new < latest),
            (None, None) => false,
        }
    }

    pub fn accept(&mut self, update: &Update) {
        self.accepted.push((update.sequence, update.occurred_at));
    }

    pub fn last(&self) -> Option<i128> {
        self.evaluated.last().map(|evaluated| evaluated.price)
    }

    pub fn forget(&mut self) {
        self.accepted.clear();
        self.evaluated.clear();
    }

    /// Adds an evaluated price that is not a drop.
    pub fn rose(&mut self, price: i128) {
        self.evaluated.push(Evaluated { price, drop: None });
    }

    pub fn fell(
        &mut self,
        price: i128,
        event_ms: i64,
        moment: Moment,
        told_every_drop: bool,
        told_once: bool,
    ) {
        if told_once {
            let before = self.evaluated.iter().map(|evaluated| evaluated.price).collect();
            self.once_drops.push(OnceDrop { price, moment, before });
            if self.once_drops.len() > ONCE_DROPS {
                self.once_drops.remove(0);
            }
        }
        let drop = Some(Drop { event_ms, moment, told_every_drop });
        self.evaluated.push(Evaluated { price, drop });
    }

    /// Returns whether a crossing watch with this threshold, if it existed from the first price on,
    /// could fire now.
    pub fn armed(&self, threshold: i128, rules: &Rules) -> bool {
        armed_after(self.evaluated.iter().map(|evaluated| evaluated.price), threshold, rules)
    }

    /// Removes once-drops that are seven days old or older.
    pub fn age_once_drops(&mut self, now_ms: i64) {
        self.once_drops.retain(|drop| i128::from(now_ms) - i128::from(drop.moment.0) < ONCE_DROP_MS);
    }

    /// Returns whether one of the once-drops notified a once-watch with this threshold, and the
    /// watch was not written since.
    pub fn fired_once(&self, threshold: i128, written: Option<Moment>, rules: &Rules) -> bool {
        self.once_drops.iter().any(|drop| {
            let fired = threshold >= drop.price && armed_after(drop.before.iter().copied(), threshold, rules);
            let older = written.is_none_or(|written| written < drop.moment);
            fired && older
        })
    }

    /// Returns the moment of the last drop to this price, if the price has an entry that has not
    /// expired. A drop that notifies an `every-drop` watch enters its price. Each further drop to it
    /// within the deduplication window renews the entry. The entry expires one window after its last
    /// drop, or once `TOLD_PRICES` other prices were entered or renewed after it.
    pub fn told_before(&self, price: i128, now_ms: i64, rules: &Rules) -> Option<Moment> {
        let expired = |last: &LastDrop, now_ms: i64| {
            i128::from(now_ms) - i128::from(last.event_ms) >= i128::from(rules.dedup_window_ms)
        };
        // The longest unchanged entry first.
        let mut told: Vec<LastDrop> = Vec::new();
        for Evaluated { price, drop } in &self.evaluated {
            let Some(drop) = drop else { continue };
            told.retain(|last| !expired(last, drop.event_ms));
            let in_chain = told.iter().any(|last| last.price == *price);
            if drop.told_every_drop || in_chain {
                told.retain(|last| last.price != *price);
                told.push(LastDrop { price: *price, event_ms: drop.event_ms, moment: drop.moment });
            }
            if told.len() > TOLD_PRICES {
                told.remove(0);
            }
        }
        told.iter().find(|last| last.price == price && !expired(last, now_ms)).map(|last| last.moment)
    }
}

/// Replays the prices for one watch. A price at or below its threshold spends it; a price above
/// `threshold * (1 + hysteresis)` arms it again.
fn armed_after(prices: impl Iterator<Item = i128>, threshold: i128, rules: &Rules) -> bool {
    let share = rules.hysteresis.share();
    let millionths = share.mantissa() * 10i128.pow(6 - share.scale());
    let mut armed = true;
    for price in prices {
        if price <= threshold {
            armed = false;
        } else if price * 1_000_000 > threshold * (1_000_000 + millionths) {
            armed = true;
        }
    }
    armed
}
