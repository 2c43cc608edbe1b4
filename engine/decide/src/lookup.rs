//! Which watches a drop must read. Reading more is slow, never wrong: every
//! row goes through [`crate::Teller`].

use pricedrop_model::ports::Summary;
use pricedrop_model::{FanOut, Floor, Mode};

/// The thresholds to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// No watch can fire.
    Nothing,
    /// From the price up to below this floor.
    Below(Floor),
}

/// Narrows a drop to the watches that may fire, by what is known of the
/// product's watches.
///
/// Every-drop watches need all thresholds at or above the price, but not when
/// the price was told within the window and no watch has changed since.
/// Crossing and once watches need those below the floor alone.
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

fn all_told_before(fan_out: &FanOut, known: &Summary) -> bool {
    match (fan_out.told_before, known.last_changed) {
        (Some(entry), Some(changed)) => changed <= entry.wall_time,
        _ => false,
    }
}
