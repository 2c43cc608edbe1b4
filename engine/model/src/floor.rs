//! Which watches have already fired: the floor for `crossing` and `once` watches, and the ledger
//! for `every-drop` watches.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::{EventTime, Hysteresis, Price, ViewTime};

/// One number per product that says which `crossing` and `once` watches have fired (are *spent*):
/// exactly those with a threshold at or above it.
///
/// The floor after a rise to q is q / (1 + hysteresis). The division is never carried out: q is
/// stored, and compared by multiplying. So nothing is rounded, and a changed hysteresis applies to
/// floors that are already stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Floor {
    /// No watch is spent.
    #[default]
    Infinite,
    /// The floor after a drop to this price.
    Drop(Price),
    /// The floor after a rise to this price.
    Rise(Price),
}

impl Floor {
    /// Returns whether a watch with this threshold is spent.
    pub fn spends(self, threshold: Price, hysteresis: Hysteresis) -> bool {
        match self {
            Floor::Infinite => false,
            Floor::Drop(price) => threshold >= price,
            Floor::Rise(price) => hysteresis.above(threshold) >= price.to_decimal(),
        }
    }

    /// Returns the floor after a drop to `price`: min(floor, price).
    pub fn drop_to(self, price: Price, hysteresis: Hysteresis) -> Floor {
        match self.spends(price, hysteresis) {
            true => self,
            false => Floor::Drop(price),
        }
    }

    /// Returns the floor after a rise to `price`: max(floor, price / (1 + hysteresis)).
    pub fn rise_to(self, price: Price, hysteresis: Hysteresis) -> Floor {
        let risen = match self {
            Floor::Infinite => false,
            Floor::Drop(floor) => price.to_decimal() > hysteresis.above(floor),
            Floor::Rise(floor) => price > floor,
        };
        if risen { Floor::Rise(price) } else { self }
    }

    /// Returns the price that must be exceeded before a watch with this threshold can fire again;
    /// none if it can fire now.
    pub fn rearms_above(self, threshold: Price, hysteresis: Hysteresis) -> Option<Decimal> {
        self.spends(threshold, hysteresis).then(|| hysteresis.above(threshold).normalize())
    }
}

/// A price that `every-drop` watches were notified of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// The price.
    pub price: Price,
    /// The event time of the last drop to it. The deduplication window starts here.
    pub event_time: EventTime,
    /// When that drop was evaluated. Watches written later were not notified.
    pub evaluated: ViewTime,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn price(text: &str) -> Price {
        text.parse().unwrap()
    }

    fn hysteresis(share: &str) -> Hysteresis {
        Hysteresis::new(share.parse().unwrap()).unwrap()
    }

    #[test]
    fn exactly_the_thresholds_at_or_above_the_floor_are_spent() {
        let ten = hysteresis("0.1");
        for (floor, threshold, spent) in [
            (Floor::Infinite, "9007199254740991", false),
            (Floor::Drop(price("10")), "10", true),
            (Floor::Drop(price("10")), "11", true),
            (Floor::Drop(price("10")), "9.999999999", false),
            // 11 / 1.1 = 10
            (Floor::Rise(price("11")), "10", true),
            (Floor::Rise(price("11")), "10.000000001", true),
            (Floor::Rise(price("11")), "9.999999999", false),
        ] {
            assert_eq!(floor.spends(price(threshold), ten), spent, "{floor:?} {threshold}");
            let rearms = floor.rearms_above(price(threshold), ten);
            assert_eq!(
                rearms,
                spent.then(|| ten.above(price(threshold)).normalize()),
                "{floor:?} {threshold}"
            );
        }
    }

    #[test]
    fn a_drop_lowers_the_floor_and_a_rise_beyond_the_hysteresis_raises_it() {
        let (ten, drop, rise) = (hysteresis("0.1"), |at| Floor::Drop(price(at)), |at| Floor::Rise(price(at)));
        for (floor, to, after_drop) in [
            (Floor::Infinite, "10", drop("10")),
            (drop("10"), "9", drop("9")),
            (drop("10"), "10", drop("10")),
            (drop("10"), "12", drop("10")),
            (rise("11"), "10", rise("11")),
            (rise("11"), "9.9", drop("9.9")),
        ] {
            assert_eq!(floor.drop_to(price(to), ten), after_drop, "{floor:?} drops to {to}");
        }
        for (floor, to, after_rise) in [
            (Floor::Infinite, "10", Floor::Infinite),
            (drop("10"), "11", drop("10")),
            (drop("10"), "11.000000001", rise("11.000000001")),
            (drop("10"), "10.5", drop("10")),
            (rise("11"), "11", rise("11")),
            (rise("11"), "10", rise("11")),
            (rise("11"), "12", rise("12")),
        ] {
            assert_eq!(floor.rise_to(price(to), ten), after_rise, "{floor:?} rises to {to}");
        }
    }
}
