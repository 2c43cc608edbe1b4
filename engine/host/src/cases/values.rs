//! Values that the cases of every kind share.

use std::collections::BTreeMap;

use pricedrop_model::Price;
use serde::Deserialize;

/// An exact price in a case: a decimal in quotes, or a whole number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "NumberText")]
pub(crate) struct Number(pub(super) Price);

#[derive(Deserialize)]
#[serde(untagged)]
enum NumberText {
    Whole(i64),
    Text(String),
}

impl TryFrom<NumberText> for Number {
    type Error = String;

    fn try_from(number: NumberText) -> Result<Number, String> {
        let price = match number {
            NumberText::Whole(units) => Price::new(units, 0),
            NumberText::Text(text) => Price::parse(&text),
        };
        price.map(Number).map_err(|error| error.to_string())
    }
}

/// Converts a table of a case to a list.
pub(super) fn pairs(map: &BTreeMap<String, String>) -> Vec<(String, String)> {
    map.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Returns the message about an unexpected answer.
pub(super) fn differs(expected: &dyn std::fmt::Debug, got: &dyn std::fmt::Debug) -> String {
    format!("expected {expected:?}, got {got:?}")
}

/// A field whose only valid value is `true`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "bool")]
pub(crate) struct Yes;

impl TryFrom<bool> for Yes {
    type Error = &'static str;

    fn try_from(yes: bool) -> Result<Yes, &'static str> {
        if yes { Ok(Yes) } else { Err("expected true") }
    }
}
