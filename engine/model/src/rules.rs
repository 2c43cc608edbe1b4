//! The rules that decide who is notified: the `[rules]` table of the configuration.

use std::fmt;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::limits::HYSTERESIS_SCALE;
use crate::{Currency, Price};

/// When a watch fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// At every drop to or below the threshold, but at most once per price and deduplication
    /// window.
    EveryDrop,
    /// When the price falls to or below the threshold; again only after it rose above the threshold
    /// (and hysteresis) in between.
    Crossing,
    /// Like `Crossing`, but at most once: the watch is removed after it fired.
    Once,
}

impl Mode {
    /// All modes with their names, in the order of the enum.
    pub const ALL: [(&'static str, Mode); 3] =
        [("every-drop", Mode::EveryDrop), ("crossing", Mode::Crossing), ("once", Mode::Once)];

    /// Returns the mode that has this name.
    pub fn from_name(name: &str) -> Option<Mode> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, mode)| *mode)
    }

    /// Returns the name, as in the configuration.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].0
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the first price of a product does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FirstPrice {
    /// It counts as a drop from an infinite price.
    Notify,
    /// It is only stored, and notifies nobody.
    Baseline,
}

/// How far above its threshold a price must rise before a crossing watch can fire again, as a share
/// of the threshold. From 0 to 1000 with at most 6 decimals, so that its product with any price is
/// exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hysteresis(Decimal);

impl Hysteresis {
    /// Any rise above the threshold is enough.
    pub const NONE: Hysteresis = Hysteresis(Decimal::ZERO);

    /// Creates a hysteresis; none if the share is outside the limits above.
    pub fn new(share: Decimal) -> Option<Hysteresis> {
        let share = share.normalize();
        let fits =
            share >= Decimal::ZERO && share <= Decimal::from(1000) && share.scale() <= HYSTERESIS_SCALE;
        fits.then_some(Hysteresis(share))
    }

    /// Returns `price * (1 + hysteresis)`. It is exact, because factors of 53 and 30 bits fit the
    /// 96 bits of a decimal.
    pub fn above(self, price: Price) -> Decimal {
        price.to_decimal() * (Decimal::ONE + self.0)
    }

    /// Returns the share.
    pub fn share(self) -> Decimal {
        self.0
    }
}

/// Written as text in every format.
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

/// The rules that decide who is notified. A changed rule applies to later updates only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// The mode of watches that name none.
    pub mode: Mode,
    /// What the first price of a product does.
    pub first_price: FirstPrice,
    /// How long a notified price stays in the ledger, in milliseconds of event time.
    pub dedup_window_ms: i64,
    /// The hysteresis of `crossing` and `once` watches.
    pub hysteresis: Hysteresis,
    /// The currency of updates and watches that name none.
    pub currency: Currency,
    /// The number of decimals to which prices of updates are rounded, half to even, from 0 to 9;
    /// none: they are not rounded.
    pub round_decimals: Option<u8>,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            mode: Mode::EveryDrop,
            first_price: FirstPrice::Notify,
            dedup_window_ms: 24 * 60 * 60 * 1000,
            hysteresis: Hysteresis::NONE,
            currency: Currency::USD,
            round_decimals: None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_found_by_their_names() {
        for (name, mode) in
            [("every-drop", Mode::EveryDrop), ("crossing", Mode::Crossing), ("once", Mode::Once)]
        {
            assert_eq!(
                (Mode::from_name(name), mode.name(), mode.to_string()),
                (Some(mode), name, name.into())
            );
        }
        assert_eq!(Mode::from_name("Once"), None);
    }

    #[test]
    fn a_hysteresis_is_from_0_to_1000_with_6_decimals() {
        let new = |share: &str| Hysteresis::new(share.parse().unwrap());
        for share in ["0", "0.000001", "0.0500000", "1000"] {
            assert_eq!(new(share).unwrap().share(), share.parse::<Decimal>().unwrap(), "{share}");
        }
        for share in ["-0.1", "1000.000001", "0.0000001"] {
            assert_eq!(new(share), None, "{share}");
        }
        let above = new("0.05").unwrap().above(Price::parse("80").unwrap());
        assert_eq!(above.to_string(), "84.00");
    }

    #[test]
    fn a_hysteresis_is_written_and_read_as_text() {
        let share = Hysteresis::new("0.05".parse().unwrap()).unwrap();
        assert_eq!(serde_json::to_string(&share).unwrap(), "\"0.05\"");
        assert_eq!(serde_json::from_str::<Hysteresis>("\"0.05\"").unwrap(), share);
        let error = serde_json::from_str::<Hysteresis>("\"2000\"").unwrap_err();
        assert!(error.to_string().contains("from 0 to 1000"), "{error}");
    }
}
