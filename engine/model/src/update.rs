//! Records of the input, and the parser that turns them into updates.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::limits::{ATTRIBUTE_BYTES, UPDATE_BYTES};
use crate::{Currency, EventTime, Position, Price, ProductId, names, price, time};

/// One record of `price_updates`, with unparsed key and value.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its position in the input.
    pub position: Position,
    /// Its key, if any. The key of a tombstone is a product id.
    pub key: Option<Bytes>,
    /// Its value. A record without one is a tombstone.
    pub value: Option<Bytes>,
    /// The timestamp that the log gave it, in epoch milliseconds.
    pub timestamp: EventTime,
    /// Its first position, if it was published again from the archive.
    pub original: Option<Position>,
}

/// One new price of one product, parsed and validated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// The product.
    pub product: ProductId,
    /// The new price.
    pub price: Price,
    /// The currency; none: the rules' currency.
    pub currency: Option<Currency>,
    /// A number that grows with each update of the product, if the producer counts them.
    pub sequence: Option<i64>,
    /// When the price changed, if the producer says so.
    pub occurred_at: Option<EventTime>,
    /// The product's title.
    pub title: Option<String>,
    /// The URL of the product's page.
    pub url: Option<String>,
}

/// A price to evaluate, with the fields of its update that a notification repeats.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Priced {
    /// The price.
    pub price: Price,
    /// The position of its update in the input.
    pub position: Position,
    /// The first position of its update, if that was published again from the archive.
    pub original: Option<Position>,
    /// The update's `occurredAt`, or its record's timestamp if it has none.
    pub event_time: EventTime,
    /// The update's `occurredAt`.
    pub occurred_at: Option<EventTime>,
    /// The update's title.
    pub title: Option<String>,
    /// The URL of the product's page, from the update.
    pub url: Option<String>,
}

impl Priced {
    /// Returns the position that notification ids are computed from. It stays the same if the
    /// update is published again.
    pub fn id_position(&self) -> Position {
        self.original.unwrap_or(self.position)
    }
}

/// Why a record is not an update. The record becomes a dead letter with this text as reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is longer than [`UPDATE_BYTES`]; its length in bytes.
    #[error("{0} bytes; an update has at most {UPDATE_BYTES}")]
    TooLong(usize),
    /// It is not JSON, or not a JSON object.
    #[error("not a JSON object with productId and newPrice: {0}")]
    Json(String),
    /// A required field is missing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// `productId` is not a valid name.
    #[error(transparent)]
    Name(#[from] names::Error),
    /// `newPrice` is not a valid price.
    #[error("newPrice: {0}")]
    Price(#[from] price::Error),
    /// A field has a value of the wrong kind.
    #[error("{field} must be {expected}")]
    Kind {
        /// The field.
        field: &'static str,
        /// What the value must be.
        expected: &'static str,
    },
    /// It is a tombstone whose key is not a product id.
    #[error("a tombstone (no value) needs the productId as its key")]
    TombstoneKey,
}

/// The fields as raw JSON, so that numbers are not rounded.
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
    /// Parses the value of a record. Unknown fields are ignored.
    ///
    /// # Errors
    /// The value is not an update. The record becomes a dead letter with this reason.
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

    /// Returns the price with the fields that a notification repeats.
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

/// Treats an explicit null as absent.
fn present(raw: Option<&RawValue>) -> Option<&str> {
    raw.map(RawValue::get).filter(|json| *json != "null")
}

fn text(json: &str) -> Option<Cow<'_, str>> {
    // A plain `Cow` would always be deserialized as an owned string.
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    serde_json::from_str::<Text<'_>>(json).ok().map(|text| text.0)
}

fn read_currency(json: &str) -> Result<Currency, Unreadable> {
    let wrong = Unreadable::Kind { field: "currency", expected: "three capital letters" };
    text(json).and_then(|code| Currency::new(&code).ok()).ok_or(wrong)
}

/// Reads a whole number from its text, because serde_json reads `-0` as a float.
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

/// Reads a title or a URL. They are optional, so one of another kind, or one that is too long, is
/// left out instead of making the record a dead letter.
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
