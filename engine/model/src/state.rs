//! What the engine remembers of a product: per currency and input partition,
//! nothing per user.

use serde::{Deserialize, Serialize};

use crate::{
    Currency, EventTime, FanOut, Floor, Hysteresis, LedgerEntry, Partition, Price, Priced, ProductId,
    WallTime,
};

/// Whose state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StateKey {
    /// The input partition its updates come from.
    pub partition: Partition,
    /// The product.
    pub product: ProductId,
    /// Of its prices.
    pub currency: Currency,
}

/// All that is remembered of one product in one currency.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductState {
    /// The price it was last *evaluated* at, not merely seen.
    pub last: Option<Evaluated>,
    /// The last accepted sequence.
    pub sequence: Option<i64>,
    /// The latest accepted `occurredAt`.
    pub occurred_at: Option<EventTime>,
    /// Which crossing watches have fired.
    pub floor: Floor,
    /// The prices told to every-drop watches, the longest not set first.
    pub ledger: Vec<LedgerEntry>,
    /// Where once-watches fired, the oldest first.
    pub once_ranges: Vec<OnceRange>,
    /// Updates held by the throttle.
    pub pending: Option<Pending>,
    /// What the throttling plugin remembers.
    pub throttle: Option<ThrottleBytes>,
    /// A fan-out that is not through yet.
    pub fan_out: Option<Box<FanOut>>,
}

impl ProductState {
    /// Whether removals of the product's told once-watches have to wait: a fan-out is
    /// unfinished, and one that is resumed reads its first rows again to know whom it told.
    pub fn holds_removals(&self) -> bool {
        self.fan_out.is_some()
    }
}

/// A price that was evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evaluated {
    /// The price.
    pub price: Price,
    /// When, by the engine's clock.
    pub at: WallTime,
}

/// Thresholds `[from, below)` whose once-watches fired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnceRange {
    /// The price they were told.
    pub from: Price,
    /// The floor before that drop, read with `hysteresis`.
    pub below: Floor,
    /// The hysteresis of that drop.
    pub hysteresis: Hysteresis,
    /// When: watches updated later were not told.
    pub wall_time: WallTime,
}

impl OnceRange {
    /// Whether a threshold lies in the range.
    pub fn contains(&self, threshold: Price) -> bool {
        threshold >= self.from && !self.below.spends(threshold, self.hysteresis)
    }
}

/// Updates held by the throttle, folded into one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// The first price held.
    pub first: Price,
    /// The latest update held.
    pub last: Priced,
    /// The first update at the lowest price held.
    pub lowest: Priced,
    /// How many were held.
    pub count: u32,
    /// When the first was held.
    pub since: WallTime,
    /// When the plugin is asked about them.
    pub due: WallTime,
    /// Whether it has said "lowest": the latest is evaluated as soon as the
    /// lowest has told its last user, without asking again.
    pub released: bool,
}

/// Bytes of a throttling plugin, with whose they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThrottleBytes {
    /// The plugin's id.
    pub plugin: String,
    /// The plugin's own format number.
    pub format: u32,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// The format `encode` writes. A reader refuses a newer one.
pub const STATE_FORMAT: u8 = 1;

/// Why stored bytes are no state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A later release wrote it.
    #[error(
        "state format {0} is newer than {STATE_FORMAT}, the one this release reads; run the release that wrote it, or a later one"
    )]
    Newer(u8),
    /// Broken bytes.
    #[error("broken state: {0}")]
    Broken(String),
}

impl ProductState {
    /// The compact stored form: a format byte, then postcard.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![STATE_FORMAT]).expect("states hold only plain values")
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// The bytes are broken, or of a later release.
    pub fn decode(bytes: &[u8]) -> Result<ProductState, DecodeError> {
        match bytes.split_first() {
            Some((&STATE_FORMAT, body)) => {
                postcard::from_bytes(body).map_err(|error| DecodeError::Broken(error.to_string()))
            }
            Some((&format, _)) if format > STATE_FORMAT => Err(DecodeError::Newer(format)),
            _ => Err(DecodeError::Broken("no format byte".into())),
        }
    }

    /// What a tombstone leaves: the once-ranges.
    pub fn forget(&mut self) {
        let once_ranges = std::mem::take(&mut self.once_ranges);
        *self = ProductState { once_ranges, ..ProductState::default() };
    }
}
