//! Checks that the JSON Schemas in `schema/` list exactly the fields that the model reads and
//! writes.

use pricedrop_model::dispatch::Recipient;
use pricedrop_model::{
    Currency, Mode, Notification, NotificationId, Price, ProductId, Update, UserId, WallTime, Watch,
};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{none, tree};

fn schema(name: &str) -> Value {
    let file = format!("schema/{name}.schema.json");
    serde_json::from_str(&tree::read(&file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn members(object: &Value) -> Vec<String> {
    let mut names: Vec<String> = object.as_object().unwrap().keys().cloned().collect();
    names.sort();
    names
}

fn properties(name: &str) -> Vec<String> {
    members(&schema(name)["properties"])
}

/// Fails unless a schema lists the fields of `full`, which has every field set.
fn lists_exactly(name: &str, full: impl Serialize) {
    assert_eq!(properties(name), members(&serde_json::to_value(full).unwrap()), "schema/{name}.schema.json");
}

fn product() -> ProductId {
    ProductId::new("P7").unwrap()
}

fn user() -> UserId {
    UserId::new("u1").unwrap()
}

fn price() -> Price {
    "79.9".parse().unwrap()
}

fn dollars() -> Option<Currency> {
    Some(Currency::new("USD").unwrap())
}

#[test]
fn the_schema_of_watches_lists_their_members() {
    lists_exactly(
        "watch",
        Watch {
            product_id: product(),
            price_watch_value: price(),
            user_id: user(),
            mode: Some(Mode::Once),
            currency: dollars(),
            updated_at: Some(WallTime(0)),
        },
    );
}

#[test]
fn the_schema_of_recipients_lists_their_members() {
    lists_exactly(
        "recipient",
        Recipient {
            user_id: user(),
            channel: "channel-console".into(),
            address: "u1".into(),
            locale: Some("de-AT".into()),
            attributes: vec![("name".into(), "value".into())],
        },
    );
}

#[test]
fn the_schema_of_notifications_lists_their_members() {
    let id = serde_json::from_str::<NotificationId>("\"00000000-0000-8000-8000-000000000000\"").unwrap();
    lists_exactly(
        "user-notification",
        Notification {
            user_id: user(),
            product_id: product(),
            new_price: price(),
            id: Some(id),
            watch_price: Some(price()),
            previous_price: Some(price()),
            currency: dollars(),
            occurred_at: Some("1970-01-01T00:00:00Z".into()),
            title: Some("Shoes".into()),
            url: Some("https://shop.example.com".into()),
        },
    );
}

/// Updates are never written. A field is read if the parsed update differs without it.
#[test]
fn the_schema_of_updates_lists_their_members() {
    let full = json!({
        "productId": "P7", "newPrice": 79.9, "currency": "EUR", "sequence": 7, "occurredAt": 946684801500i64,
        "title": "Shoes", "url": "https://shop.example.com",
    });
    let parse = |object: &Map<String, Value>| Update::parse(&serde_json::to_vec(object).unwrap(), None);
    let full = full.as_object().unwrap();
    // The pattern names every field, so a new field does not compile until it is added here.
    let Update { product: _, price: _, currency, sequence, occurred_at, title, url } = parse(full).unwrap();
    assert!(currency.is_some() && sequence.is_some() && occurred_at.is_some());
    assert!(title.is_some() && url.is_some());
    for name in full.keys() {
        let mut without = full.clone();
        without.remove(name);
        assert!(parse(&without).ok() != parse(full).ok(), "{name} is not read");
    }
    assert_eq!(properties("price-update"), members(&Value::Object(full.clone())), "price-update");
}

#[test]
fn every_schema_is_valid_and_lists_required_members() {
    let mut findings = Vec::new();
    for file in tree::ending(&[".schema.json"]) {
        let name = file.trim_start_matches("schema/").trim_end_matches(".schema.json");
        let schema = schema(name);
        let required = schema["required"].as_array().unwrap().iter();
        let known = properties(name);
        let unknown = required.filter(|name| !known.contains(&name.as_str().unwrap().to_owned()));
        findings.extend(unknown.map(|name| format!("{file}: requires {name}, which it does not describe")));
        if schema["$schema"] != "https://json-schema.org/draft/2020-12/schema" {
            findings.push(format!("{file}: $schema is not that of 2020-12"));
        }
    }
    none("schemas that are none", findings);
}
