//! The rules of who is told: the `[rules]` table of the configuration.

use std::fmt;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::limits::HYSTERESIS_SCALE;
use crate::{Currency, Price};

/// When a watch fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// At every drop to or below the threshold, the same price once per window.
    EveryDrop,
    /// When the price crosses the threshold from above; then not before it rose again.
    Crossing,
    /// Like crossing, and then never again.
    Once,
}

impl Mode {
    /// The modes by name.
    pub const ALL: [(&'static str, Mode); 3] =
        [("every-drop", Mode::EveryDrop), ("crossing", Mode::Crossing), ("once", Mode::Once)];

    /// The mode of this name.
    pub fn from_name(name: &str) -> Option<Mode> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, mode)| *mode)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].0
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the first price ever seen of a product does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FirstPrice {
    /// It counts as a drop from infinity.
    Notify,
    /// It is only remembered.
    Baseline,
}

/// How far above its threshold a price must rise to re-arm a crossing watch, as
/// a share of the threshold: 0 to 1000 with at most 6 decimals, so that every
/// product with a price is exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hysteresis(Decimal);

impl Hysteresis {
    /// Any rise above the threshold re-arms.
    pub const NONE: Hysteresis = Hysteresis(Decimal::ZERO);

    /// Takes a share.
    pub fn new(share: Decimal) -> Option<Hysteresis> {
        let share = share.normalize();
        let fits =
            share >= Decimal::ZERO && share <= Decimal::from(1000) && share.scale() <= HYSTERESIS_SCALE;
        fits.then_some(Hysteresis(share))
    }

    /// `price * (1 + hysteresis)`, exactly: 53 bits by 30 bits fit the 96 of a decimal.
    pub fn above(self, price: Price) -> Decimal {
        price.to_decimal() * (Decimal::ONE + self.0)
    }

    /// The share.
    pub fn share(self) -> Decimal {
        self.0
    }
}

/// In compact formats the share as text.
impl Serialize for Hysteresis {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Hysteresis {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().ok().and_then(Hysteresis::new).ok_or_else(|| {
            serde::de::Error::custom(
                "hysteresis must be a decimal from 0 to 1000 with at most 6 decimals, as text",
            )
        })
    }
}

/// The rules of who is told. A change applies from then on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Of watches that name none.
    pub mode: Mode,
    /// What the first price of a product does.
    pub first_price: FirstPrice,
    /// How long a told price stays in the ledger, milliseconds of event time.
    pub dedup_window_ms: i64,
    /// For crossing watches.
    pub hysteresis: Hysteresis,
    /// Of updates and watches that name none.
    pub currency: Currency,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            mode: Mode::EveryDrop,
            first_price: FirstPrice::Notify,
            dedup_window_ms: 24 * 60 * 60 * 1000,
            hysteresis: Hysteresis::NONE,
            currency: Currency::USD,
        }
    }
}
