//! The JSON body. Members that are unknown are left out; it is the same at
//! every attempt, so a receiver may compare repeats byte for byte.

use crate::bindings::exports::pricedrop::channel::channel::Delivery;
use pricedrop_plugin_support::decimal;

/// The attributes a receiver is told.
const ATTRIBUTES: [&str; 2] = ["title", "url"];

/// The body, with the recipient's address or without.
pub fn json(delivery: &Delivery, with_address: bool) -> String {
    let mut object = Object(String::from("{"));
    object.text("id", &delivery.notification);
    object.text("userId", &delivery.to.user);
    object.text("productId", &delivery.product);
    object.number("newPrice", &decimal(&delivery.new_price.amount));
    object.text("currency", &delivery.new_price.currency);
    if let Some(watch_price) = &delivery.watch_price {
        object.number("watchPrice", &decimal(&watch_price.amount));
    }
    if let Some(previous_price) = &delivery.previous_price {
        object.number("previousPrice", &decimal(&previous_price.amount));
    }
    if let Some(occurred_ms) = delivery.occurred_ms {
        object.number("occurredAt", &occurred_ms.to_string());
    }
    for name in ATTRIBUTES {
        if let Some((_, value)) = delivery.attributes.iter().find(|(known, _)| known == name) {
            object.text(name, value);
        }
    }
    if with_address {
        object.text("address", &delivery.to.address);
    }
    object.end()
}

/// A JSON object being written.
struct Object(String);

impl Object {
    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.string(name);
        self.0.push(':');
    }

    fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        self.string(value);
    }

    fn number(&mut self, name: &str, digits: &str) {
        self.name(name);
        self.0.push_str(digits);
    }

    /// RFC 8259, section 7; the two line separators too, for receivers that
    /// paste JSON into a script.
    fn string(&mut self, text: &str) {
        self.0.push('"');
        for c in text.chars() {
            match c {
                '"' | '\\' => self.0.extend(['\\', c]),
                c if c < ' ' || matches!(c, '\u{2028}' | '\u{2029}') => {
                    self.0.push_str(&format!("\\u{:04x}", u32::from(c)));
                }
                c => self.0.push(c),
            }
        }
        self.0.push('"');
    }

    fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_stays_inside_its_string() {
        let mut object = Object(String::from("{"));
        object.text("a", "x\",\"b\":\"\\y\n\u{2028}é");
        object.number("n", "0.05");
        assert_eq!(object.end(), r#"{"a":"x\",\"b\":\"\\y\u000a\u2028é","n":0.05}"#);
    }
}
