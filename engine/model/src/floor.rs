//! Which watches have been told already: the floor of crossing watches, and the
//! ledger of every-drop watches.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::{EventTime, Hysteresis, Price, WallTime};

/// The one number that says which crossing watches are spent: exactly those
/// with a threshold at or above it.
///
/// A floor that came from a rise to q is q / (1 + hysteresis). The division is
/// never carried out: q is kept and compared by multiplying, so nothing is
/// rounded, and a change of hysteresis applies to floors already stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Floor {
    /// No watch has fired.
    #[default]
    Infinite,
    /// A drop to this price.
    Drop(Price),
    /// A rise to this price.
    Rise(Price),
}

impl Floor {
    /// Whether a crossing watch of this threshold is spent.
    pub fn spends(self, threshold: Price, hysteresis: Hysteresis) -> bool {
        match self {
            Floor::Infinite => false,
            Floor::Drop(price) => threshold >= price,
            Floor::Rise(price) => hysteresis.above(threshold) >= price.to_decimal(),
        }
    }

    /// After a drop to `price`: min(floor, price).
    pub fn drop_to(self, price: Price, hysteresis: Hysteresis) -> Floor {
        match self.spends(price, hysteresis) {
            true => self,
            false => Floor::Drop(price),
        }
    }

    /// After a rise to `price`: max(floor, price / (1 + hysteresis)).
    pub fn rise_to(self, price: Price, hysteresis: Hysteresis) -> Floor {
        let risen = match self {
            Floor::Infinite => false,
            Floor::Drop(floor) => price.to_decimal() > hysteresis.above(floor),
            Floor::Rise(floor) => price > floor,
        };
        if risen { Floor::Rise(price) } else { self }
    }

    /// Above this price a watch of this threshold is armed again; none when it
    /// is armed now.
    pub fn rearms_above(self, threshold: Price, hysteresis: Hysteresis) -> Option<Decimal> {
        self.spends(threshold, hysteresis).then(|| hysteresis.above(threshold).normalize())
    }
}

/// A price that every-drop watches were told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// The price.
    pub price: Price,
    /// The event time of the last drop to it: the window counts from here.
    pub event_time: EventTime,
    /// The wall time of that drop: watches updated later were not told.
    pub wall_time: WallTime,
}
