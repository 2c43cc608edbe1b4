//! Which thresholds a drop has to read. Reading more is slower, but never wrong, because
//! [`crate::Matcher`] decides every row.

use pricedrop_model::ports::Summary;
use pricedrop_model::{FanOut, Floor, Mode};

/// The range of thresholds to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// Nothing: no watch can fire.
    Nothing,
    /// From the price (included) up to this floor (excluded).
    Below(Floor),
}

/// Returns the range in which watches may fire, given the modes of the product's watches.
///
/// For every-drop watches: all thresholds at or above the price; none, if the price was notified
/// within the window and no watch of the product changed since. For crossing and once watches:
/// only thresholds below the floor.
pub fn lookup(fan_out: &FanOut, known: &Summary) -> Lookup {
    let modeless_every_drop = fan_out.mode == Mode::EveryDrop;
    let every_drop = known.every_drop || (known.modeless && modeless_every_drop);
    let crossing = known.crossing || (known.modeless && !modeless_every_drop);
    if every_drop && !all_told_before(fan_out, known) {
        return Lookup::Below(Floor::Infinite);
    }
    match crossing && !fan_out.floor.spends(fan_out.priced.price, fan_out.hysteresis) {
        true => Lookup::Below(fan_out.floor),
        false => Lookup::Nothing,
    }
}

/// Whether the price was notified within the window and no watch of the product changed since.
fn all_told_before(fan_out: &FanOut, known: &Summary) -> bool {
    match (fan_out.told_before, known.last_changed) {
        (Some(entry), Some(changed)) => changed <= entry.wall_time,
        _ => false,
    }
}
