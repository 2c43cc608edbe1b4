//! The prices of one product in one currency, all of them kept, and the
//! questions asked of them.

use pricedrop_model::Rules;

use super::read::Update;

/// Of design limits the reference has its own copies.
const TOLD_PRICES: usize = 128;
const ONCE_DROPS: usize = 16;
const ONCE_DROP_MS: i128 = 7 * 24 * 3600 * 1000;

#[derive(Debug, Default)]
pub(super) struct Prices {
    /// What accepted updates said of their order, since the last tombstone.
    accepted: Vec<(Option<i64>, Option<i64>)>,
    /// Every price evaluated since the last tombstone.
    evaluated: Vec<Evaluated>,
    /// Drops that told a once-watch; a tombstone does not forget them.
    once_drops: Vec<OnceDrop>,
}

#[derive(Debug, Clone, Copy)]
struct Evaluated {
    price: i128,
    /// None where it was no drop.
    drop: Option<Drop>,
}

#[derive(Debug, Clone, Copy)]
struct Drop {
    event_ms: i64,
    wall_ms: i64,
    told_every_drop: bool,
}

#[derive(Debug)]
struct OnceDrop {
    price: i128,
    wall_ms: i64,
    /// The prices that led to it.
    before: Vec<i128>,
}

/// The last drop to a price.
struct LastDrop {
    price: i128,
    event_ms: i64,
    wall_ms: i64,
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

    /// An evaluated price that tells nobody.
    pub fn rose(&mut self, price: i128) {
        self.evaluated.push(Evaluated { price, drop: None });
    }

    pub fn fell(&mut self, price: i128, event_ms: i64, wall_ms: i64, told_every_drop: bool, told_once: bool) {
        if told_once {
            let before = self.evaluated.iter().map(|evaluated| evaluated.price).collect();
            self.once_drops.push(OnceDrop { price, wall_ms, before });
            if self.once_drops.len() > ONCE_DROPS {
                self.once_drops.remove(0);
            }
        }
        let drop = Some(Drop { event_ms, wall_ms, told_every_drop });
        self.evaluated.push(Evaluated { price, drop });
    }

    /// Whether a crossing watch of this threshold, there from the first price
    /// on, would be armed now.
    pub fn armed(&self, threshold: i128, rules: &Rules) -> bool {
        armed_after(self.evaluated.iter().map(|evaluated| evaluated.price), threshold, rules)
    }

    /// Once-drops of seven days ago count no more.
    pub fn age_once_drops(&mut self, now_ms: i64) {
        self.once_drops.retain(|drop| i128::from(now_ms) - i128::from(drop.wall_ms) < ONCE_DROP_MS);
    }

    /// Whether a once-watch of this threshold was told by one of the drops,
    /// and not written since.
    pub fn fired_once(&self, threshold: i128, updated_at: Option<i64>, rules: &Rules) -> bool {
        self.once_drops.iter().any(|drop| {
            let fired = threshold >= drop.price && armed_after(drop.before.iter().copied(), threshold, rules);
            let older = updated_at.is_none_or(|at| at <= drop.wall_ms);
            fired && older
        })
    }

    /// The wall time of the last drop to this price, where every-drop watches
    /// were told of it within the window: of a chain of drops to it, each
    /// within the window of the one before, the first of which told somebody.
    pub fn told_before(&self, price: i128, now_ms: i64, rules: &Rules) -> Option<i64> {
        let expired = |last: &LastDrop, now_ms: i64| {
            i128::from(now_ms) - i128::from(last.event_ms) >= i128::from(rules.dedup_window_ms)
        };
        // The drop longest ago first.
        let mut told: Vec<LastDrop> = Vec::new();
        for Evaluated { price, drop } in &self.evaluated {
            let Some(drop) = drop else { continue };
            told.retain(|last| !expired(last, drop.event_ms));
            let in_chain = told.iter().any(|last| last.price == *price);
            if drop.told_every_drop || in_chain {
                told.retain(|last| last.price != *price);
                told.push(LastDrop { price: *price, event_ms: drop.event_ms, wall_ms: drop.wall_ms });
            }
            if told.len() > TOLD_PRICES {
                told.remove(0);
            }
        }
        told.iter().find(|last| last.price == price && !expired(last, now_ms)).map(|last| last.wall_ms)
    }
}

/// Goes through the prices with one watch: a price at or below its threshold
/// spends it, a price above `threshold * (1 + hysteresis)` arms it again.
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
