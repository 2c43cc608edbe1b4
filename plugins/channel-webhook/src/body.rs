//! Builds the JSON body of a request. Fields without a value are omitted. The body is the same at
//! every attempt, so that a receiver can compare repeated requests byte by byte.

use pricedrop_plugin_support::channel::{Item, Message, Reason};
use pricedrop_plugin_support::{Object, decimal};

/// The attributes a receiver is told.
const ATTRIBUTES: [&str; 2] = ["title", "url"];

/// The body, with the recipient's address or without. One item is a flat object; a
/// digest lists its items.
pub fn json(message: &Message, with_address: bool) -> String {
    let mut object = Object::default();
    match &message.items[..] {
        [item] if !matches!(message.reason, Reason::Digest) => {
            object.text("id", &item.notification);
            object.text("userId", &message.to.user);
            members(&mut object, item);
        }
        items => {
            object.text("userId", &message.to.user);
            object.raw("items", &list(items));
        }
    }
    if with_address {
        object.text("address", &message.to.address);
    }
    if let Some(url) = &message.unsubscribe_url {
        object.text("unsubscribeUrl", url);
    }
    object.end()
}

fn list(items: &[Item]) -> String {
    let written = items.iter().map(|item| {
        let mut object = Object::default();
        object.text("id", &item.notification);
        members(&mut object, item);
        object.end()
    });
    format!("[{}]", written.collect::<Vec<_>>().join(","))
}

fn members(object: &mut Object, item: &Item) {
    object.text("productId", &item.product);
    object.raw("newPrice", &decimal(&item.new_price.amount));
    object.text("currency", &item.new_price.currency);
    if let Some(watch_price) = &item.watch_price {
        object.raw("watchPrice", &decimal(&watch_price.amount));
    }
    if let Some(previous_price) = &item.previous_price {
        object.raw("previousPrice", &decimal(&previous_price.amount));
    }
    if let Some(occurred_ms) = item.occurred_ms {
        object.raw("occurredAt", &occurred_ms.to_string());
    }
    for name in ATTRIBUTES {
        if let Some(value) = item.attribute(name) {
            object.text(name, value);
        }
    }
}
