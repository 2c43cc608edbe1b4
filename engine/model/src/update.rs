//! Records of the input, and the parser that turns them into updates.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::limits::{ATTRIBUTE_BYTES, UPDATE_BYTES};
use crate::{Currency, EventTime, Position, Price, ProductId, WallTime, foreign_format, names, price, time};

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
    /// The currency. `None` means the rules' currency.
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
    /// `occurredAt` is outside the limits of a time.
    #[error("occurredAt {0}; it must be epoch milliseconds or an RFC 3339 time")]
    Time(#[from] time::OutsideLimits),
    /// A required field has bytes that are not UTF-8.
    #[error("{0} is not UTF-8")]
    NotUtf8(&'static str),
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
    /// Parses the value of a record. Unknown fields are ignored. The price is rounded to
    /// `round_decimals`, see [`Rules::round_decimals`](crate::Rules).
    ///
    /// # Errors
    /// The value is not an update. The record becomes a dead letter with this reason.
    pub fn parse(value: &[u8], round_decimals: Option<u8>) -> Result<Update, Unreadable> {
        if value.len() > UPDATE_BYTES {
            return Err(Unreadable::TooLong(value.len()));
        }
        let start = value.trim_ascii_start();
        if start.first() != Some(&b'{') {
            let what = foreign_format::looks_like(start).unwrap_or_else(|| "it does not start with {".into());
            return Err(Unreadable::Json(what));
        }
        match std::str::from_utf8(value) {
            Ok(json) => Update::parse_text(json, round_decimals, false),
            // A title or URL with invalid bytes is left out; the price counts all the same.
            Err(_) => Update::parse_text(&String::from_utf8_lossy(value), round_decimals, true),
        }
    }

    /// Parses a text that starts with `{`: a derived struct would also accept an array of its fields.
    /// If it `is_lossy`, U+FFFD stands for invalid bytes, and a field that contains it is not used.
    fn parse_text(json: &str, round_decimals: Option<u8>, is_lossy: bool) -> Result<Update, Unreadable> {
        let optional = |raw| present(raw).filter(|json| !is_lossy || !is_damaged(json)).and_then(attribute);
        let fields: Fields<'_> =
            serde_json::from_str(json).map_err(|error| Unreadable::Json(error.to_string()))?;
        let product =
            intact(is_lossy, "productId", fields.product_id)?.ok_or(Unreadable::Missing("productId"))?;
        let product = text(product).ok_or(Unreadable::Kind { field: "productId", expected: "a string" })?;
        let price = intact(is_lossy, "newPrice", fields.new_price)?.ok_or(Unreadable::Missing("newPrice"))?;
        Ok(Update {
            product: ProductId::new(&product)?,
            price: Price::from_json_rounded(price, round_decimals)?,
            currency: intact(is_lossy, "currency", fields.currency)?.map(read_currency).transpose()?,
            sequence: intact(is_lossy, "sequence", fields.sequence)?.map(read_sequence).transpose()?,
            occurred_at: intact(is_lossy, "occurredAt", fields.occurred_at)?
                .map(read_occurred_at)
                .transpose()?,
            title: optional(fields.title),
            url: optional(fields.url),
        })
    }

    /// Returns the product of a value that is an update, whatever the rules say about its price.
    pub fn product_of(value: &[u8]) -> Option<ProductId> {
        // Every price that is valid under some rule can be rounded to a whole number.
        Update::parse(value, Some(0)).ok().map(|update| update.product)
    }

    /// Returns the price with the fields that a notification repeats. A timestamp of the record outside
    /// the limits of a time is replaced by `now`.
    pub fn priced(&self, record: &Record, now: WallTime) -> Priced {
        let timestamp = match time::is_within_limits(record.timestamp.0) {
            true => record.timestamp,
            false => EventTime(now.0),
        };
        Priced {
            price: self.price,
            position: record.position,
            original: record.original,
            event_time: self.occurred_at.unwrap_or(timestamp),
            occurred_at: self.occurred_at,
            title: self.title.clone(),
            url: self.url.clone(),
        }
    }
}

/// Returns whether a field of a text that was not UTF-8 had invalid bytes.
fn is_damaged(json: &str) -> bool {
    json.contains(char::REPLACEMENT_CHARACTER)
}

/// Returns a field that must be intact; none if it is absent.
fn intact<'a>(
    is_lossy: bool,
    name: &'static str,
    raw: Option<&'a RawValue>,
) -> Result<Option<&'a str>, Unreadable> {
    match present(raw) {
        Some(json) if is_lossy && is_damaged(json) => Err(Unreadable::NotUtf8(name)),
        json => Ok(json),
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
    let written = text(json);
    let millis = match &written {
        Some(text) => time::parse_rfc3339(text),
        None => whole(json),
    };
    let millis = millis.ok_or(wrong)?;
    Ok(EventTime(time::within_limits(millis, written.as_deref().unwrap_or(json))?))
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
    use crate::limits::EARLIEST_MS;

    fn parse(json: &str) -> Result<Update, Unreadable> {
        Update::parse(json.as_bytes(), None)
    }

    #[test]
    fn an_update_is_read_with_its_optional_fields() {
        let update = parse(
            r#"{"productId":"P7","newPrice":"79.90","currency":"EUR","sequence":-3,
                "occurredAt":"2000-01-01T00:00:01.5Z","title":"Shoes","stock":{"a":[1]},"url":null}"#,
        )
        .unwrap();
        assert_eq!(update.product.as_str(), "P7");
        assert_eq!(update.price.to_string(), "79.9");
        assert_eq!(update.currency, Some(Currency::new("EUR").unwrap()));
        assert_eq!(update.sequence, Some(-3));
        assert_eq!(update.occurred_at, Some(EventTime(EARLIEST_MS + 1500)));
        assert_eq!(update.title.as_deref(), Some("Shoes"));
        assert_eq!(update.url, None);
        let millis = parse(r#"{"productId":"P\u0037","newPrice":1e1,"occurredAt":946684801500}"#).unwrap();
        assert_eq!(millis.product.as_str(), "P7");
        assert_eq!(millis.occurred_at, Some(EventTime(EARLIEST_MS + 1500)));
    }

    #[test]
    fn invalid_bytes_cost_the_field_they_are_in_and_not_the_price() {
        let parse = |json: &[u8]| Update::parse(json, None);
        let title =
            parse(b"{\"productId\":\"P\",\"newPrice\":1,\"title\":\"Caf\xE9\",\"url\":\"u\"}").unwrap();
        assert_eq!((title.title, title.url.as_deref()), (None, Some("u")));
        let url = parse(b"{\"productId\":\"P\",\"newPrice\":1,\"title\":\"T\",\"url\":\"\xff\"}").unwrap();
        assert_eq!((url.title.as_deref(), url.url), (Some("T"), None));
        let unknown = parse(b"{\"productId\":\"P\",\"newPrice\":1,\"x\xff\":{\"y\":\"\xff\"}}").unwrap();
        assert_eq!(unknown.product.as_str(), "P");
        let surrogate = parse(br#"{"productId":"P","newPrice":1,"title":"\ud800"}"#).unwrap();
        assert_eq!(surrogate.title, None);
        let product = parse(b"{\"productId\":\"P\xff\",\"newPrice\":1}").unwrap_err();
        assert_eq!(product, Unreadable::NotUtf8("productId"));
        let kept = parse("{\"productId\":\"P\",\"newPrice\":1,\"title\":\"a\u{fffd}\"}".as_bytes()).unwrap();
        assert_eq!(kept.title.as_deref(), Some("a\u{fffd}"));
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
            (
                r#"{"productId":"P","newPrice":1,"occurredAt":1796006060000000}"#,
                "occurredAt 1796006060000000 looks like microseconds, and is outside 2000-01-01 to 2200-01-01; \
                 it must be epoch milliseconds or an RFC 3339 time",
            ),
            (
                r#"{"productId":"P","newPrice":71.91000000000001}"#,
                "newPrice: it looks like a binary float near 71.91: send a decimal with at most 9 decimals, or let \
                 the engine round with rules.round_decimals",
            ),
        ] {
            assert_eq!(parse(json).unwrap_err().to_string(), reason, "{json}");
        }
    }
}
