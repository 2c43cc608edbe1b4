//! What comes in: records of the input, and the updates read from them.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::limits::{ATTRIBUTE_BYTES, UPDATE_BYTES};
use crate::{Currency, EventTime, Position, Price, ProductId, names, price, time};

/// One record of `price_updates`, as it lies in the log.
#[derive(Debug, Clone)]
pub struct Record {
    /// Where it stands.
    pub position: Position,
    /// Its key, if any; names the product of a tombstone.
    pub key: Option<Bytes>,
    /// Its value; none is a tombstone.
    pub value: Option<Bytes>,
    /// The log's own time.
    pub timestamp: EventTime,
    /// Where it stood first, if it was published again from the archive.
    pub original: Option<Position>,
}

/// One price of one product, read and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// Whose price.
    pub product: ProductId,
    /// The new price.
    pub price: Price,
    /// In this currency; none: the rules' currency.
    pub currency: Option<Currency>,
    /// Grows per product, where the producer counts.
    pub sequence: Option<i64>,
    /// When the price changed, where the producer says.
    pub occurred_at: Option<EventTime>,
    /// The product's title.
    pub title: Option<String>,
    /// The product's page.
    pub url: Option<String>,
}

/// A price on its way to evaluation, with what a notification repeats of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Priced {
    /// The price.
    pub price: Price,
    /// Where its update stands in the input.
    pub position: Position,
    /// Where it stood first, if it was published again from the archive.
    pub original: Option<Position>,
    /// The update's `occurredAt`, else its record's timestamp.
    pub event_time: EventTime,
    /// The update's `occurredAt`.
    pub occurred_at: Option<EventTime>,
    /// The update's title.
    pub title: Option<String>,
    /// The update's page.
    pub url: Option<String>,
}

impl Priced {
    /// The position that the ids of its notifications are made of: the same after the
    /// update was published again.
    pub fn id_position(&self) -> Position {
        self.original.unwrap_or(self.position)
    }
}

/// Why a record is no update. It becomes a dead letter with this text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Longer than the limit.
    #[error("{0} bytes; an update has at most {UPDATE_BYTES}")]
    TooLong(usize),
    /// Not JSON, or not an object.
    #[error("not a JSON object with productId and newPrice: {0}")]
    Json(String),
    /// A field is missing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// No usable product.
    #[error(transparent)]
    Name(#[from] names::Error),
    /// No usable price.
    #[error("newPrice: {0}")]
    Price(#[from] price::Error),
    /// A field of another kind.
    #[error("{field} must be {expected}")]
    Kind {
        /// The field.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// A tombstone whose key names no product.
    #[error("a tombstone (no value) needs the productId as its key")]
    TombstoneKey,
}

/// The fields as they stand, unread: numbers stay text.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields<'a> {
    #[serde(borrow, default)]
    product_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    new_price: Option<&'a RawValue>,
    #[serde(borrow, default)]
    currency: Option<&'a RawValue>,
    #[serde(borrow, default)]
    sequence: Option<&'a RawValue>,
    #[serde(borrow, default)]
    occurred_at: Option<&'a RawValue>,
    #[serde(borrow, default)]
    title: Option<&'a RawValue>,
    #[serde(borrow, default)]
    url: Option<&'a RawValue>,
}

impl Update {
    /// Reads the value of a record. Unknown fields are passed over.
    ///
    /// # Errors
    /// The record is a dead letter, for this reason.
    pub fn parse(value: &[u8]) -> Result<Update, Unreadable> {
        if value.len() > UPDATE_BYTES {
            return Err(Unreadable::TooLong(value.len()));
        }
        // A derived struct would also accept an array of its fields.
        let first = value.iter().find(|byte| !byte.is_ascii_whitespace());
        if first != Some(&b'{') {
            return Err(Unreadable::Json("it does not start with {".into()));
        }
        let fields: Fields<'_> =
            serde_json::from_slice(value).map_err(|error| Unreadable::Json(error.to_string()))?;
        let product = present(fields.product_id).ok_or(Unreadable::Missing("productId"))?;
        let product = text(product).ok_or(Unreadable::Kind { field: "productId", expected: "a string" })?;
        let price = present(fields.new_price).ok_or(Unreadable::Missing("newPrice"))?;
        Ok(Update {
            product: ProductId::new(&product)?,
            price: Price::from_json(price)?,
            currency: present(fields.currency).map(read_currency).transpose()?,
            sequence: present(fields.sequence).map(read_sequence).transpose()?,
            occurred_at: present(fields.occurred_at).map(read_occurred_at).transpose()?,
            title: present(fields.title).and_then(attribute),
            url: present(fields.url).and_then(attribute),
        })
    }

    /// The price with what a notification repeats of the update.
    pub fn priced(&self, record: &Record) -> Priced {
        Priced {
            price: self.price,
            position: record.position,
            original: record.original,
            event_time: self.occurred_at.unwrap_or(record.timestamp),
            occurred_at: self.occurred_at,
            title: self.title.clone(),
            url: self.url.clone(),
        }
    }
}

/// An explicit null counts as absent.
fn present(raw: Option<&RawValue>) -> Option<&str> {
    raw.map(RawValue::get).filter(|json| *json != "null")
}

fn text(json: &str) -> Option<Cow<'_, str>> {
    // `Cow` alone would be read as an owned string always.
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    serde_json::from_str::<Text<'_>>(json).ok().map(|text| text.0)
}

fn read_currency(json: &str) -> Result<Currency, Unreadable> {
    let wrong = Unreadable::Kind { field: "currency", expected: "three capital letters" };
    text(json).and_then(|code| Currency::new(&code).ok()).ok_or(wrong)
}

/// A whole number as it stands: `-0` is one, which serde_json takes for a float.
fn whole(json: &str) -> Option<i64> {
    json.parse().ok()
}

fn read_sequence(json: &str) -> Result<i64, Unreadable> {
    let wrong = Unreadable::Kind { field: "sequence", expected: "a whole number of 64 bits" };
    whole(json).ok_or(wrong)
}

fn read_occurred_at(json: &str) -> Result<EventTime, Unreadable> {
    let wrong = Unreadable::Kind { field: "occurredAt", expected: "an RFC 3339 time or epoch milliseconds" };
    let millis = match text(json) {
        Some(text) => time::parse_rfc3339(&text),
        None => whole(json),
    };
    millis.map(EventTime).ok_or(wrong)
}

/// Titles and pages are decoration: one of another kind is left out.
fn attribute(json: &str) -> Option<String> {
    text(json).filter(|text| text.len() <= ATTRIBUTE_BYTES).map(Cow::into_owned)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Update, Unreadable> {
        Update::parse(json.as_bytes())
    }

    #[test]
    fn an_update_is_read_with_its_optional_fields() {
        let update = parse(
            r#"{"productId":"P7","newPrice":"79.90","currency":"EUR","sequence":-3,
                "occurredAt":"1970-01-01T00:00:01.5Z","title":"Shoes","stock":{"a":[1]},"url":null}"#,
        )
        .unwrap();
        assert_eq!(update.product.as_str(), "P7");
        assert_eq!(update.price.to_string(), "79.9");
        assert_eq!(update.currency, Some(Currency::new("EUR").unwrap()));
        assert_eq!(update.sequence, Some(-3));
        assert_eq!(update.occurred_at, Some(EventTime(1500)));
        assert_eq!(update.title.as_deref(), Some("Shoes"));
        assert_eq!(update.url, None);
        let millis = parse(r#"{"productId":"P\u0037","newPrice":1e1,"occurredAt":1500}"#).unwrap();
        assert_eq!(millis.product.as_str(), "P7");
        assert_eq!(millis.occurred_at, Some(EventTime(1500)));
    }

    #[test]
    fn an_unreadable_update_says_why() {
        let long = format!(r#"{{"productId":"{}","newPrice":1}}"#, "x".repeat(257));
        for (json, reason) in [
            ("", "not a JSON object with productId and newPrice: it does not start with {"),
            ("[1]", "not a JSON object with productId and newPrice: it does not start with {"),
            (r#"{"newPrice":1}"#, "productId is missing"),
            (r#"{"productId":null,"newPrice":1}"#, "productId is missing"),
            (r#"{"productId":7,"newPrice":1}"#, "productId must be a string"),
            (r#"{"productId":"","newPrice":1}"#, "productId must have 1 to 256 bytes, not 0"),
            (&long, "productId must have 1 to 256 bytes, not 257"),
            (r#"{"productId":"P"}"#, "newPrice is missing"),
            (r#"{"productId":"P","newPrice":-1}"#, "newPrice: below zero"),
            (r#"{"productId":"P","newPrice":1,"currency":"usd"}"#, "currency must be three capital letters"),
            (
                r#"{"productId":"P","newPrice":1,"sequence":1.5}"#,
                "sequence must be a whole number of 64 bits",
            ),
            (
                r#"{"productId":"P","newPrice":1,"sequence":9223372036854775808}"#,
                "sequence must be a whole number of 64 bits",
            ),
            (
                r#"{"productId":"P","newPrice":1,"occurredAt":"yesterday"}"#,
                "occurredAt must be an RFC 3339 time or epoch milliseconds",
            ),
        ] {
            assert_eq!(parse(json).unwrap_err().to_string(), reason, "{json}");
        }
    }
}
