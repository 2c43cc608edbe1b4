//! What one user is told, and how it is written on the wire.

use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

use crate::{Currency, FanOutBlock, Position, Price, ProductId, UserId};

/// A deterministic UUID (version 8) over user, product, price and source
/// position: the same after any crash or replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NotificationId(pub Uuid);

/// One record of `user_notifications`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notification {
    /// Who is told.
    pub user_id: UserId,
    /// Of which product.
    pub product_id: ProductId,
    /// Its price.
    pub new_price: Price,
    /// Absent in the lean format and from other producers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<NotificationId>,
    /// The lowest threshold of the user that fired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch_price: Option<Price>,
    /// Absent on a first price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_price: Option<Price>,
    /// Of all three prices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// RFC 3339, where the update had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<String>,
    /// The product's title, where the update had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The product's page, where the update had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// The part of a notification's id that a whole fan-out shares.
pub struct IdSource {
    scratch: Vec<u8>,
    common: usize,
}

impl IdSource {
    /// For the fan-out of this product to this price from this record.
    pub fn new(topic: &str, product: &ProductId, price: Price, position: Position) -> IdSource {
        let mut common = Vec::new();
        for part in [topic, product.as_str()] {
            common.extend((part.len() as u32).to_be_bytes());
            common.extend(part.as_bytes());
        }
        common.extend(price.sort_key());
        common.extend(position.partition.0.to_be_bytes());
        common.extend(position.offset.to_be_bytes());
        let scratch = xxh3_128(&common).to_be_bytes().to_vec();
        IdSource { common: scratch.len(), scratch }
    }

    /// The id of the notification to this user.
    pub fn id(&mut self, user: &str) -> NotificationId {
        self.scratch.truncate(self.common);
        self.scratch.extend_from_slice(user.as_bytes());
        let hash = xxh3_128(&self.scratch).to_be_bytes();
        NotificationId(uuid::Builder::from_custom_bytes(hash).into_uuid())
    }
}

impl NotificationId {
    /// An id for a notification that has none, made of what stands for it.
    pub fn of_parts(user: &UserId, product: &ProductId, price: Price) -> NotificationId {
        let text = format!("{user}:{product}:{price}");
        let hash = xxh3_128(text.as_bytes()).to_be_bytes();
        NotificationId(uuid::Builder::from_custom_bytes(hash).into_uuid())
    }

    /// The id under which a notification is delivered once more on purpose: the same
    /// each time for the same name, so that doing it twice delivers nothing twice.
    pub fn again(self, name: &str) -> NotificationId {
        let hash = xxh3_128(&[self.0.as_bytes(), name.as_bytes()].concat()).to_be_bytes();
        NotificationId(uuid::Builder::from_custom_bytes(hash).into_uuid())
    }
}

/// Which fields a written notification has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// All that are known.
    #[default]
    Full,
    /// userId, productId and newPrice alone.
    Lean,
}

/// As `Display` writes it, without its detours: this is done for every user told.
fn write_price(out: &mut Vec<u8>, price: Price) {
    // Units are below 2^53, 16 digits; the scale is at most 9, and one digit
    // stands before the point.
    let mut text = [b'0'; 18];
    let (mut units, mut at) = (price.units().unsigned_abs(), text.len());
    for place in 0.. {
        if place > u32::from(price.scale()) && units == 0 {
            break;
        }
        if place == u32::from(price.scale()) && place > 0 {
            at -= 1;
            text[at] = b'.';
        }
        at -= 1;
        text[at] = b'0' + (units % 10) as u8;
        units /= 10;
    }
    out.extend_from_slice(&text[at..]);
}

/// Writes the notifications of one block as JSON. Everything that is the same
/// for the whole block is rendered once.
pub struct Renderer {
    product_and_price: String,
    tail: String,
    ids: IdSource,
    format: Format,
}

impl Renderer {
    /// For this block of updates from `topic`.
    pub fn new(block: &FanOutBlock, topic: &str, format: Format) -> Renderer {
        let quoted = |text: &str| serde_json::to_string(text).expect("strings are JSON");
        let priced = &block.priced;
        let mut tail = String::new();
        if let Some(previous) = block.previous {
            let _ = write!(tail, r#","previousPrice":{previous}"#);
        }
        let _ = write!(tail, r#","currency":"{}""#, block.currency);
        if let Some(at) = priced.occurred_at {
            let _ = write!(tail, r#","occurredAt":"{at}""#);
        }
        for (name, value) in [("title", &priced.title), ("url", &priced.url)] {
            if let Some(value) = value {
                let _ = write!(tail, r#","{name}":{}"#, quoted(value));
            }
        }
        Renderer {
            product_and_price: format!(
                r#","productId":{},"newPrice":{}"#,
                quoted(block.product.as_str()),
                priced.price
            ),
            tail,
            ids: IdSource::new(topic, &block.product, priced.price, priced.id_position()),
            format,
        }
    }

    /// Appends the notification to this user, without a line end.
    pub fn write(&mut self, out: &mut Vec<u8>, user: &str, watch_price: Price) {
        out.extend_from_slice(br#"{"userId":"#);
        serde_json::to_writer(&mut *out, user).expect("strings are JSON");
        out.extend_from_slice(self.product_and_price.as_bytes());
        if self.format == Format::Full {
            let id = self.ids.id(user).0;
            out.extend_from_slice(br#","id":""#);
            out.extend_from_slice(id.hyphenated().encode_lower(&mut Uuid::encode_buffer()).as_bytes());
            out.extend_from_slice(br#"","watchPrice":"#);
            write_price(out, watch_price);
            out.extend_from_slice(self.tail.as_bytes());
        }
        out.push(b'}');
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_written_as_it_is_shown() {
        for text in ["0", "7", "90", "0.05", "0.000000001", "79.9", "9007199254740991", "9007199.254740991"] {
            let mut written = Vec::new();
            write_price(&mut written, Price::parse(text).unwrap());
            assert_eq!(String::from_utf8(written).unwrap(), text);
        }
    }
}
