//! The state that is stored per product, currency and input partition. It contains nothing per
//! user.

use serde::{Deserialize, Serialize};

use crate::limits::ONCE_RANGE_MS;
use crate::{
    Currency, EventTime, FanOut, Floor, Hysteresis, LedgerEntry, Partition, Price, Priced, ProductId,
    ViewTime, WallTime,
};

/// The key of a product's state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StateKey {
    /// The input partition that its updates come from.
    pub partition: Partition,
    /// The product.
    pub product: ProductId,
    /// The currency of its prices.
    pub currency: Currency,
}

/// Everything that is stored of one product in one currency.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductState {
    /// The last price that was *evaluated*. Held and skipped updates do not count.
    pub last: Option<Evaluated>,
    /// The highest sequence of an accepted update.
    pub sequence: Option<i64>,
    /// The latest accepted `occurredAt`.
    pub occurred_at: Option<EventTime>,
    /// Which `crossing` and `once` watches have fired.
    pub floor: Floor,
    /// The prices that `every-drop` watches were notified of; the last drop longest ago first.
    pub ledger: Vec<LedgerEntry>,
    /// The threshold ranges whose `once` watches fired, the oldest first.
    pub once_ranges: Vec<OnceRange>,
    /// Updates that the throttling policy holds.
    pub pending: Option<Pending>,
    /// The bytes that the throttling plugin stores.
    pub throttle: Option<ThrottleBytes>,
    /// A fan-out with chunks still to commit.
    pub fan_out: Option<Box<FanOut>>,
}

impl ProductState {
    /// Returns whether the removal of notified `once` watches has to wait. It waits while a fan-out
    /// is unfinished, because a resumed fan-out reads its first rows again to find which users it
    /// notified.
    pub fn holds_removals(&self) -> bool {
        self.fan_out.is_some()
    }
}

/// An evaluated price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evaluated {
    /// The price.
    pub price: Price,
    /// When it was evaluated, by the engine's clock.
    pub at: WallTime,
}

/// The range of thresholds `[from, below)` whose `once` watches one drop notified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnceRange {
    /// The price of that drop.
    pub from: Price,
    /// The floor before that drop, compared using `hysteresis`.
    pub below: Floor,
    /// The hysteresis at that drop.
    pub hysteresis: Hysteresis,
    /// When that drop was evaluated. Watches written later were not notified.
    pub evaluated: ViewTime,
}

impl OnceRange {
    /// Returns whether a threshold is in the range.
    pub fn contains(&self, threshold: Price) -> bool {
        threshold >= self.from && !self.below.spends(threshold, self.hysteresis)
    }

    /// Returns whether the range still counts for a drop at this time.
    pub fn is_kept(&self, now: ViewTime) -> bool {
        now.wall_time.0.saturating_sub(self.evaluated.wall_time.0) < ONCE_RANGE_MS
    }
}

/// Updates that the throttling policy holds, combined into one record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// The price of the first held update.
    pub first: Price,
    /// The latest held update.
    pub last: Priced,
    /// The first of the held updates with the lowest price.
    pub lowest: Priced,
    /// How many updates are held.
    pub count: u32,
    /// When the first was held.
    pub since: WallTime,
    /// When the policy is asked about them again.
    pub due: WallTime,
    /// Whether the policy answered "lowest". Then the latest update is evaluated, without asking
    /// again, as soon as the fan-out of the lowest is finished.
    pub released: bool,
}

/// Bytes that a throttling plugin stores, with the plugin that wrote them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThrottleBytes {
    /// The plugin's id.
    pub plugin: String,
    /// The format number that the plugin gave them.
    pub format: u32,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// The format that `encode` writes. `decode` refuses a newer one.
pub const STATE_FORMAT: u8 = 1;

/// Why stored bytes are not a state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A later release wrote them.
    #[error(
        "state format {0} is newer than {STATE_FORMAT}, the one this release reads; run the release that wrote it, or a later one"
    )]
    Newer(u8),
    /// They are damaged.
    #[error("damaged state: {0}")]
    Broken(String),
}

impl ProductState {
    /// Encodes the state for storage: a format byte, then postcard.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![STATE_FORMAT]).expect("states hold only plain values")
    }

    /// Decodes a stored state.
    ///
    /// # Errors
    /// The bytes are damaged, or a later release wrote them.
    pub fn decode(bytes: &[u8]) -> Result<ProductState, DecodeError> {
        match bytes.split_first() {
            Some((&STATE_FORMAT, body)) => {
                postcard::from_bytes(body).map_err(|error| DecodeError::Broken(error.to_string()))
            }
            Some((&format, _)) if format > STATE_FORMAT => Err(DecodeError::Newer(format)),
            _ => Err(DecodeError::Broken("no format byte".into())),
        }
    }

    /// Resets the state after a tombstone. Only the once-ranges stay.
    pub fn forget(&mut self) {
        let once_ranges = std::mem::take(&mut self.once_ranges);
        *self = ProductState { once_ranges, ..ProductState::default() };
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{Mode, Position, ReadPath};

    fn price(text: &str) -> Price {
        text.parse().unwrap()
    }

    fn range() -> OnceRange {
        let below = Floor::Drop(price("20"));
        OnceRange { from: price("10"), below, hysteresis: Hysteresis::NONE, evaluated: WallTime(5).into() }
    }

    fn fan_out() -> FanOut {
        FanOut {
            priced: Priced {
                price: price("10"),
                position: Position { partition: Partition(3), offset: 7 },
                original: None,
                event_time: EventTime(2),
                occurred_at: None,
                title: Some("Shoes".into()),
                url: None,
            },
            previous: None,
            floor: Floor::Infinite,
            told_before: None,
            began: WallTime(100).into(),
            mode: Mode::Once,
            hysteresis: Hysteresis::NONE,
            path: ReadPath::Plain,
            cursor: None,
            told: 1,
            told_every_drop: false,
            told_once: true,
        }
    }

    #[test]
    fn a_once_range_contains_the_thresholds_that_the_drop_reached_and_the_floor_spared() {
        for (threshold, inside) in
            [("10", true), ("19.999999999", true), ("9.999999999", false), ("20", false), ("21", false)]
        {
            assert_eq!(range().contains(price(threshold)), inside, "{threshold}");
        }
    }

    #[test]
    fn removals_wait_while_a_fan_out_is_unfinished() {
        let mut state = ProductState::default();
        assert!(!state.holds_removals());
        state.fan_out = Some(Box::new(fan_out()));
        assert!(state.holds_removals());
    }

    #[test]
    fn a_state_survives_encoding_and_newer_or_damaged_bytes_are_refused() {
        let state = ProductState {
            sequence: Some(-3),
            floor: Floor::Rise(price("11")),
            once_ranges: vec![range()],
            fan_out: Some(Box::new(fan_out())),
            ..ProductState::default()
        };
        let mut bytes = state.encode();
        assert_eq!((bytes[0], ProductState::decode(&bytes)), (STATE_FORMAT, Ok(state)));
        bytes.truncate(3);
        assert!(matches!(ProductState::decode(&bytes), Err(DecodeError::Broken(_))));
        assert_eq!(ProductState::decode(&[STATE_FORMAT + 1]), Err(DecodeError::Newer(STATE_FORMAT + 1)));
        for older in [&[][..], &[STATE_FORMAT - 1]] {
            assert_eq!(ProductState::decode(older), Err(DecodeError::Broken("no format byte".into())));
        }
    }

    #[test]
    fn a_tombstone_forgets_everything_but_the_once_ranges() {
        let mut state = ProductState {
            last: Some(Evaluated { price: price("1"), at: WallTime(1) }),
            sequence: Some(1),
            once_ranges: vec![range()],
            fan_out: Some(Box::new(fan_out())),
            ..ProductState::default()
        };
        state.forget();
        assert_eq!(state, ProductState { once_ranges: vec![range()], ..ProductState::default() });
    }
}
