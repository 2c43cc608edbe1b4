//! The many ways to write the same update as JSON, and records that are not updates.

use pricedrop_model::Currency;

/// The number of ways to write an update.
pub const SPELLINGS: u8 = 12;
/// The number of kinds of records that are not updates.
pub const MALFORMED: u8 = 26;

/// Writes an amount as a plain decimal number.
pub fn billionths_text(billionths: i128) -> String {
    let text = format!("{}.{:09}", billionths / 1_000_000_000, billionths % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Writes a price as JSON, in one of several ways.
pub(super) fn spelt(billionths: i128, spelling: u8) -> String {
    let plain = billionths_text(billionths);
    match spelling % 6 {
        1 if plain.contains('.') => format!("{plain}00"),
        1 => format!("{plain}.0"),
        2 => format!("\"{plain}\""),
        3 => format!("{billionths}e-9"),
        4 => format!("\"{billionths}.000E-0009\""),
        5 => format!("\"\\u00{:02x}{}\"", plain.as_bytes()[0], &plain[1..]),
        _ => plain,
    }
}

/// The fields of an update.
pub(super) struct Fields<'a> {
    pub product: &'a str,
    /// The price as JSON.
    pub price: &'a str,
    pub currency: Option<Currency>,
    pub sequence: Option<i64>,
    pub occurred_at: Option<i64>,
}

impl Fields<'_> {
    /// Writes the update as JSON. `spelling` varies the order of the fields, how an absent field is
    /// written, white space, and unknown fields.
    pub(super) fn spelt(&self, spelling: u8) -> Vec<u8> {
        let mut fields =
            vec![format!("\"productId\":{}", quoted(self.product)), format!("\"newPrice\": {}", self.price)];
        let null = spelling.is_multiple_of(4);
        let mut optional = |name: &str, json: Option<String>| match json {
            Some(json) => fields.push(format!("\"{name}\":{json}")),
            None if null => fields.push(format!("\"{name}\":null")),
            None => {}
        };
        optional("currency", self.currency.map(|currency| format!("\"{currency}\"")));
        optional("sequence", self.sequence.map(|sequence| sequence.to_string()));
        optional("occurredAt", self.occurred_at.map(|at| time(at, spelling)));
        match spelling {
            6 => fields.push(r#""title":["not","text"],"url":7"#.to_owned()),
            7 => fields.push(r#""title":"Shoes \" \u00e9","url":"http://localhost/""#.to_owned()),
            8 => fields.push(r#""x":{"productId":[1e999]},"x":null,"NewPrice":1"#.to_owned()),
            _ => {}
        }
        if spelling % 5 == 3 {
            fields.reverse();
        }
        format!(" {{{}}}\n", fields.join(" ,")).into_bytes()
    }
}

/// Writes a time as epoch milliseconds, or as RFC 3339 if the year permits it.
fn time(millis: i64, spelling: u8) -> String {
    let in_reach = (0..7_258_100_000_000).contains(&millis);
    if spelling.is_multiple_of(3) || !in_reach {
        return millis.to_string();
    }
    let utc = pricedrop_model::time::write_rfc3339(millis);
    match spelling % 3 {
        1 => quoted(&utc),
        _ => {
            let hour_later = pricedrop_model::time::write_rfc3339(millis + 3_600_000);
            quoted(&hour_later.replace('Z', "+01:00"))
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("strings are JSON")
}

/// Returns a record that is not an update. `kind` chooses what is wrong with it.
pub(super) fn malformed(product: String, kind: u8) -> Vec<u8> {
    let product = quoted(&product);
    let with = |rest: &str| format!("{{\"productId\":{product},{rest}}}");
    let text = match kind % MALFORMED {
        0 => String::new(),
        1 => format!("[{product},1]"),
        2 => with(r#""newPrice":1"#) + "x",
        3 => with(r#""newPrice":1,"newPrice":1"#),
        4 => with(r#""newPrice":1,"product\u0049d":"P""#),
        5 => r#"{"newPrice":1}"#.to_owned(),
        6 => r#"{"productId":"","newPrice":1}"#.to_owned(),
        7 => format!(r#"{{"productId":"{}","newPrice":1}}"#, "é".repeat(129)),
        8 => with(r#""newPrice":-1"#),
        9 => with(r#""newPrice":"1 ""#),
        10 => with(r#""newPrice":0.0000000001"#),
        11 => with(r#""newPrice":9007199254740992"#),
        12 => with(r#""newPrice":"NaN""#),
        13 => with(r#""newPrice":1,"currency":"eur""#),
        14 => with(r#""newPrice":1,"sequence":1.5"#),
        15 => with(r#""newPrice":1,"sequence":9223372036854775808"#),
        16 => with(r#""newPrice":1,"occurredAt":"1970-01-01""#),
        17 => with(r#""newPrice":1,"occurredAt":"1000""#),
        18 => with(r#""newPrice":null"#),
        // Prices only if they are rounded.
        20 => with(r#""newPrice":10.500000000000001"#),
        21 => with(r#""newPrice":"9.49999999999999956""#),
        22 => with(r#""newPrice":1.00500000000000010e1"#) + " ",
        23 => with(r#""newPrice":1,"occurredAt":946684799999"#),
        24 => with(r#""newPrice":1,"occurredAt":"2200-01-01T00:00:00Z""#),
        25 => with(r#""newPrice":1,"occurredAt":1796006060000000"#),
        _ => "null".to_owned(),
    };
    text.into_bytes()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use pricedrop_model::limits::{EARLIEST_MS, LATEST_MS};

    use super::*;
    use crate::history::PRICES;
    use crate::reference::read::{self, Read};

    #[test]
    fn every_spelling_of_an_update_decides_the_same() {
        for price in PRICES.map(|text| read::price(text).unwrap()) {
            for spelling in 0..SPELLINGS {
                for occurred_at in
                    [None, Some(EARLIEST_MS), Some(EARLIEST_MS + 86_400_001), Some(LATEST_MS - 1)]
                {
                    let currency = occurred_at.map(|_| Currency::USD);
                    let sequence = occurred_at;
                    let json = spelt(price, spelling);
                    let fields = Fields { product: "p\"1", price: &json, currency, sequence, occurred_at };
                    let value = fields.spelt(spelling);
                    let expected = Read::Update(read::Update {
                        product: "p\"1".to_owned(),
                        price,
                        currency: currency.map(|currency| currency.to_string()),
                        sequence,
                        occurred_at,
                    });
                    assert_eq!(read::record(None, Some(&value), None), expected, "{spelling} {json}");
                }
            }
        }
    }

    #[test]
    fn malformed_records_are_refused() {
        for kind in 0..MALFORMED {
            assert_eq!(read::record(None, Some(&malformed("P".into(), kind)), None), Read::Dead, "{kind}");
        }
    }
}
