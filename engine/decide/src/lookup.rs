//! Computes which thresholds must be read to find the watches that a price drop may fire. Reading
//! more thresholds than necessary is slower but never wrong, because [`crate::Matcher`] checks
//! every row.

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
        (Some(entry), Some(changed)) => changed <= entry.evaluated.wall_time,
        _ => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use pricedrop_model::{
        EventTime, Hysteresis, LedgerEntry, Partition, Position, Price, Priced, ReadPath, WallTime,
    };

    use super::*;

    const EMPTY: Summary = Summary {
        watches: 0,
        every_drop: false,
        crossing: false,
        modeless: false,
        last_changed: None,
        indexed: false,
    };
    const WHOLE: Lookup = Lookup::Below(Floor::Infinite);

    fn price(text: &str) -> Price {
        text.parse().unwrap()
    }

    /// Returns a drop to 10, after a drop to 20.
    fn drop_to_10(mode: Mode, told_before: Option<i64>) -> FanOut {
        let position = Position { partition: Partition(0), offset: 0 };
        let entry = |wall| LedgerEntry {
            price: price("10"),
            event_time: EventTime(1),
            evaluated: WallTime(wall).into(),
        };
        FanOut {
            priced: Priced {
                price: price("10"),
                position,
                original: None,
                event_time: EventTime(2),
                occurred_at: None,
                title: None,
                url: None,
            },
            previous: Some(price("20")),
            floor: Floor::Drop(price("20")),
            told_before: told_before.map(entry),
            began: WallTime(100).into(),
            mode,
            hysteresis: Hysteresis::NONE,
            path: ReadPath::Plain,
            cursor: None,
            told: 0,
            told_every_drop: false,
            told_once: false,
        }
    }

    #[test]
    fn only_thresholds_at_which_a_watch_may_fire_are_read() {
        let floor = Lookup::Below(Floor::Drop(price("20")));
        let known = |every_drop, crossing, modeless| Summary { every_drop, crossing, modeless, ..EMPTY };
        for (mode, known, expected) in [
            (Mode::EveryDrop, known(true, false, false), WHOLE),
            (Mode::EveryDrop, known(false, true, false), floor),
            (Mode::EveryDrop, known(false, false, true), WHOLE),
            (Mode::Crossing, known(false, false, true), floor),
            (Mode::Once, known(false, false, true), floor),
            (Mode::Crossing, known(true, false, true), WHOLE),
            (Mode::EveryDrop, known(false, false, false), Lookup::Nothing),
            (Mode::Crossing, known(false, false, false), Lookup::Nothing),
        ] {
            assert_eq!(lookup(&drop_to_10(mode, None), &known), expected, "{mode} {known:?}");
        }
        let spent = FanOut { floor: Floor::Drop(price("10")), ..drop_to_10(Mode::Crossing, None) };
        assert_eq!(lookup(&spent, &known(false, true, false)), Lookup::Nothing);
    }

    #[test]
    fn a_price_that_was_notified_is_read_again_only_if_a_watch_changed_since() {
        let known = |changed: Option<i64>, crossing| Summary {
            every_drop: true,
            crossing,
            last_changed: changed.map(WallTime),
            ..EMPTY
        };
        for (told_at, changed, expected) in [
            (Some(50), Some(50), Lookup::Nothing),
            (Some(50), Some(49), Lookup::Nothing),
            (Some(50), Some(51), WHOLE),
            (Some(50), None, WHOLE),
            (None, Some(1), WHOLE),
        ] {
            let fan_out = drop_to_10(Mode::EveryDrop, told_at);
            assert_eq!(lookup(&fan_out, &known(changed, false)), expected, "{told_at:?} {changed:?}");
        }
        let fan_out = drop_to_10(Mode::EveryDrop, Some(50));
        assert_eq!(lookup(&fan_out, &known(Some(50), true)), Lookup::Below(Floor::Drop(price("20"))));
    }
}
