//! Notifications: their ids, their fields, and their JSON.

use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

use crate::{Currency, FanOutBlock, Position, Price, ProductId, UserId};

/// A deterministic UUID (version 8), a hash of input topic, source position, product, price and
/// user. It is the same after any crash or replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NotificationId(pub Uuid);

/// One record of `user_notifications`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notification {
    /// The user who is notified.
    pub user_id: UserId,
    /// The product whose price dropped.
    pub product_id: ProductId,
    /// The price that the product dropped to.
    pub new_price: Price,
    /// Absent in the lean format, and from other producers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<NotificationId>,
    /// The lowest of the user's thresholds that fired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch_price: Option<Price>,
    /// Absent if this is the first price of the product.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_price: Option<Price>,
    /// The currency of all three prices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// RFC 3339, if the update had a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<String>,
    /// The product's title, if the update had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The URL of the product's page, if the update had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// The hash of what all notification ids of one fan-out have in common.
pub struct IdSource {
    scratch: Vec<u8>,
    common: usize,
}

impl IdSource {
    /// Creates the source for one product, its new price, and the position of the update.
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

    /// Returns the id of the notification to this user.
    pub fn id(&mut self, user: &str) -> NotificationId {
        self.scratch.truncate(self.common);
        self.scratch.extend_from_slice(user.as_bytes());
        let hash = xxh3_128(&self.scratch).to_be_bytes();
        NotificationId(uuid::Builder::from_custom_bytes(hash).into_uuid())
    }
}

impl NotificationId {
    /// Returns an id for a notification without one, from user, product and price.
    pub fn of_parts(user: &UserId, product: &ProductId, price: Price) -> NotificationId {
        let text = format!("{user}:{product}:{price}");
        let hash = xxh3_128(text.as_bytes()).to_be_bytes();
        NotificationId(uuid::Builder::from_custom_bytes(hash).into_uuid())
    }

    /// Returns the id of a deliberate repetition of this notification. The same `name` gives the
    /// same id, so a replay that is repeated delivers nothing twice.
    pub fn again(self, name: &str) -> NotificationId {
        let hash = xxh3_128(&[self.0.as_bytes(), name.as_bytes()].concat()).to_be_bytes();
        NotificationId(uuid::Builder::from_custom_bytes(hash).into_uuid())
    }
}

/// Which fields a notification is written with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// All fields that are known.
    #[default]
    Full,
    /// `userId`, `productId` and `newPrice` only.
    Lean,
}

/// Writes what `Display` writes, but faster: this runs once per notified user.
fn write_price(out: &mut Vec<u8>, price: Price) {
    // At most 18 bytes: units below 2^53 have at most 16 digits, the scale is at most 9, and the
    // text has a point and at least one digit before it.
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

/// Writes the notifications of one block as JSON. What is the same for the whole block is rendered
/// once.
pub struct Renderer {
    product_and_price: String,
    tail: String,
    ids: IdSource,
    format: Format,
}

impl Renderer {
    /// Creates the renderer of a block; `topic` is the topic of its updates.
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

    /// Appends the notification to one user as a JSON object, without a line end.
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
    fn a_price_serialises_as_it_displays() {
        for text in ["0", "7", "90", "0.05", "0.000000001", "79.9", "9007199254740991", "9007199.254740991"] {
            let mut written = Vec::new();
            write_price(&mut written, Price::parse(text).unwrap());
            assert_eq!(String::from_utf8(written).unwrap(), text);
        }
    }
}
