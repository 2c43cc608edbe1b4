//! Compares the engine's parser with the reference's.

#![allow(clippy::unwrap_used)]

use pricedrop_model::{Price, Update};
use proptest::prelude::*;
use proptest::sample::select;

use super::read::{self, Read};
use crate::history::billionths_text;

fn engine(value: &[u8], decimals: Option<u8>) -> Read {
    match Update::parse(value, decimals) {
        Err(_) => Read::Dead,
        Ok(update) => Read::Update(read::Update {
            product: update.product.to_string(),
            price: billionths(update.price),
            currency: update.currency.map(|currency| currency.to_string()),
            sequence: update.sequence,
            occurred_at: update.occurred_at.map(|at| at.0),
        }),
    }
}

fn billionths(price: Price) -> i128 {
    i128::from(price.units()) * 10i128.pow(9 - u32::from(price.scale()))
}

/// Generates numbers, and text that resembles numbers.
fn number() -> impl Strategy<Value = String> {
    let piece = select(vec![
        "0",
        "1",
        "9",
        "90",
        "000000",
        "9007199254740991",
        "9007199254740992",
        "5",
        ".",
        "-",
        "e",
        "E",
        "+",
        " ",
    ]);
    let messy = proptest::collection::vec(piece, 0..7).prop_map(|pieces| pieces.concat());
    let tidy = "-?(0|[1-9][0-9]{0,18})(\\.[0-9]{1,12})?([eE][+-]?[0-9]{1,3})?";
    prop_oneof![messy, tidy.prop_map(|text| text)]
}

fn times() -> impl Strategy<Value = String> {
    let tidy = "[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-][01][0-9]:[0-5][0-9])";
    let text = prop_oneof![4 => tidy.prop_map(|text| text), 1 => "[0-9TZ:.+-]{0,25}".prop_map(|text| text)];
    prop_oneof![text.prop_map(|text| format!("\"{text}\"")), number()]
}

fn field() -> impl Strategy<Value = String> {
    let odd = || select(vec!["null", "true", "[]", "{}", "\"\"", "\"P\"", "{\"a\":[{}]}", "\"\\ud800\""]);
    let odd = move || odd().prop_map(str::to_owned);
    let price = prop_oneof![number(), number().prop_map(|number| format!("\"{number}\""))];
    let currency = select(vec!["\"EUR\"", "\"eur\"", "\"EURO\"", "\"E\\u0055R\"", "\"ÄU\"", "null"]);
    prop_oneof![
        2 => odd().prop_map(|json| format!("\"productId\":{json}")),
        6 => price.prop_map(|json| format!("\"newPrice\":{json}")),
        2 => odd().prop_map(|json| format!("\"newPrice\":{json}")),
        1 => currency.prop_map(|json| format!("\"currency\":{json}")),
        1 => number().prop_map(|json| format!("\"sequence\":{json}")),
        3 => times().prop_map(|json| format!("\"occurredAt\":{json}")),
        1 => (select(vec!["title", "url", "x", "", "product\\u0049d", "newprice"]), odd())
            .prop_map(|(name, json)| format!("\"{name}\":{json}")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 50_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_reads_prices_as_the_reference_does(text in number()) {
        let engine = Price::parse(&text).ok();
        prop_assert_eq!(engine.map(billionths), read::price(&text));
        if let Some(price) = engine {
            prop_assert_eq!(price.to_string(), billionths_text(billionths(price)));
        }
    }

    #[test]
    fn the_engine_reads_records_as_the_reference_does(
        fields in proptest::collection::vec(field(), 0..4),
        readable in proptest::bool::weighted(0.8),
        ending in select(vec!["", "", "", " ", "\n", ",", "}"]),
        decimals in proptest::option::weighted(0.3, 0..=9u8),
        damage in proptest::option::weighted(0.1, (proptest::prelude::any::<proptest::sample::Index>(), 0x80..=0xffu8)),
    ) {
        let mut fields = fields;
        if readable {
            fields.extend(["\"productId\":\"P\"".to_owned(), "\"newPrice\":1.50".to_owned()]);
            let mut names: Vec<String> = Vec::new();
            fields.reverse();
            fields.retain(|field| {
                let name = field.split(':').next().unwrap().to_owned();
                let new = !names.contains(&name);
                names.push(name);
                new
            });
        }
        let value = format!("{{{}}}{ending}", fields.join(","));
        let mut value = value.into_bytes();
        if let Some((at, byte)) = damage {
            let at = at.index(value.len());
            value[at] = byte;
        }
        prop_assert_eq!(engine(&value, decimals), read::record(None, Some(&value), decimals));
    }
}
