//! A parser of records that is independent of the engine's: it splits an object into its fields and
//! reads numbers digit by digit.

use std::fmt;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Longest value of a record, in bytes.
const RECORD_BYTES: usize = 1 << 20;
/// 2000-01-01 and 2200-01-01: the limits of `occurredAt`, the second excluded.
const TIMES: std::ops::Range<i64> = 946_684_800_000..7_258_118_400_000;

/// The content of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// It is not an update.
    Dead,
    /// It resets the state of a product.
    Tombstone {
        /// The product.
        product: String,
    },
    /// It is an update.
    Update(Update),
}

/// A new price of a product.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Update {
    pub product: String,
    /// The price in billionths.
    pub price: i128,
    pub currency: Option<String>,
    pub sequence: Option<i64>,
    pub occurred_at: Option<i64>,
}

/// Parses a record. Prices are rounded to `decimals`, if that is given.
pub fn record(key: Option<&[u8]>, value: Option<&[u8]>, decimals: Option<u8>) -> Read {
    let Some(value) = value else {
        let product = key.and_then(|key| std::str::from_utf8(key).ok()).filter(|key| is_name(key));
        return match product {
            Some(product) => Read::Tombstone { product: product.to_owned() },
            None => Read::Dead,
        };
    };
    match update(value, decimals) {
        Some(update) => Read::Update(update),
        None => Read::Dead,
    }
}

fn update(value: &[u8], decimals: Option<u8>) -> Option<Update> {
    if value.len() > RECORD_BYTES {
        return None;
    }
    // Invalid bytes become U+FFFD. They harm only the fields that they are in.
    let json = String::from_utf8_lossy(value);
    let is_valid = json.as_bytes() == value;
    let fields = object(&json)?;
    let field = |name: &str| -> Result<Option<&str>, ()> {
        let mut of_name = fields.iter().filter(|(known, _)| known == name);
        match (of_name.next(), of_name.next()) {
            (Some(_), Some(_)) => Err(()),
            (Some((_, json)), None) if !is_valid && json.get().contains('\u{fffd}') => Err(()),
            (Some((_, json)), None) if json.get() != "null" => Ok(Some(json.get())),
            _ => Ok(None),
        }
    };
    for decoration in ["title", "url"] {
        if fields.iter().filter(|(known, _)| known == decoration).count() > 1 {
            return None;
        }
    }
    Some(Update {
        product: field("productId").ok()?.and_then(text).filter(|name| is_name(name))?,
        price: field("newPrice").ok()?.and_then(|json| price_json(json, decimals))?,
        currency: optional(field("currency").ok()?, currency)?,
        sequence: optional(field("sequence").ok()?, whole)?,
        occurred_at: optional(field("occurredAt").ok()?, |json| time(json).filter(|at| TIMES.contains(at)))?,
    })
}

/// Reads an optional field. It may be absent, but if it is present it must be valid.
fn optional<T>(json: Option<&str>, read: impl Fn(&str) -> Option<T>) -> Option<Option<T>> {
    match json {
        None => Some(None),
        Some(json) => read(json).map(Some),
    }
}

fn is_name(text: &str) -> bool {
    (1..=256).contains(&text.len())
}

/// Returns the fields of a JSON object, including repeated ones.
fn object(value: &str) -> Option<Vec<(String, Box<RawValue>)>> {
    struct Fields;
    impl<'de> Visitor<'de> for Fields {
        type Value = Vec<(String, Box<RawValue>)>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut fields = Vec::new();
            while let Some(field) = map.next_entry()? {
                fields.push(field);
            }
            Ok(fields)
        }
    }
    let mut json = serde_json::Deserializer::from_str(value);
    let fields = json.deserialize_map(Fields).ok()?;
    json.end().ok()?;
    Some(fields)
}

fn text(json: &str) -> Option<String> {
    serde_json::from_str(json).ok()
}

fn currency(json: &str) -> Option<String> {
    text(json).filter(|code| code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase()))
}

/// Reads a whole number of 64 bits, written without a point or an exponent.
fn whole(json: &str) -> Option<i64> {
    let digits = json.strip_prefix('-').unwrap_or(json);
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    json.parse().ok().filter(|_| plain)
}

fn time(json: &str) -> Option<i64> {
    if json.starts_with('"') { rfc3339(&text(json)?) } else { whole(json) }
}

/// Reads `YYYY-MM-DDThh:mm:ss[.f...](Z|+hh:mm|-hh:mm)` as epoch milliseconds.
fn rfc3339(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = text.get(from..to)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let punctuation = [(4, "-"), (7, "-"), (10, "T"), (13, ":"), (16, ":")];
    if punctuation.iter().any(|&(at, mark)| text.get(at..at + 1) != Some(mark)) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let mut rest = text.get(19..)?;
    let mut millis = 0;
    if let Some(fraction) = rest.strip_prefix('.') {
        let digits = fraction.len() - fraction.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if digits == 0 {
            return None;
        }
        millis = format!("{:0<3}", &fraction[..digits])[..3].parse().ok()?;
        rest = &fraction[digits..];
    }
    let offset_minutes = match (rest, rest.as_bytes().first()?) {
        ("Z", _) => 0,
        (_, sign @ (b'+' | b'-')) if rest.len() == 6 && rest.get(3..4) == Some(":") => {
            let end = text.len();
            let minutes = number(end - 5, end - 3)? * 60 + number(end - 2, end)?;
            if *sign == b'-' { -minutes } else { minutes }
        }
        _ => return None,
    };
    let in_range = hour < 24 && minute < 60 && second < 60 && day >= 1 && day <= days_of(year, month)?;
    let minutes = (days_before(year, month) + day - 1) * 24 * 60 + hour * 60 + minute - offset_minutes;
    in_range.then_some((minutes * 60 + second) * 1000 + millis)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_of(year: i64, month: i64) -> Option<i64> {
    match month {
        2 => Some(if is_leap(year) { 29 } else { 28 }),
        4 | 6 | 9 | 11 => Some(30),
        1..=12 => Some(31),
        _ => None,
    }
}

/// Returns the days from 1970-01-01 to the first of a month, counted year by year.
fn days_before(year: i64, month: i64) -> i64 {
    let year_days = |year| if is_leap(year) { 366 } else { 365 };
    let years: i64 = match year >= 1970 {
        true => (1970..year).map(year_days).sum(),
        false => -(year..1970).map(year_days).sum::<i64>(),
    };
    years + (1..month).filter_map(|month| days_of(year, month)).sum::<i64>()
}

fn price_json(json: &str, decimals: Option<u8>) -> Option<i128> {
    if json.starts_with('"') { rounded(&text(json)?, decimals) } else { rounded(json, decimals) }
}

/// Reads a JSON number as billionths. Each digit is multiplied by its power of ten.
pub fn price(number: &str) -> Option<i128> {
    rounded(number, None)
}

/// Reads a JSON number as billionths, rounded half to even.
fn rounded(number: &str, round_to: Option<u8>) -> Option<i128> {
    let (negative, unsigned) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number),
    };
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], exponent(&unsigned[at + 1..])?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = match mantissa.find('.') {
        Some(at) => (&mantissa[..at], Some(&mantissa[at + 1..])),
        None => (mantissa, None),
    };
    let digits_only = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let well_written =
        digits_only(whole) && fraction.is_none_or(digits_only) && (whole == "0" || !whole.starts_with('0'));
    if !well_written {
        return None;
    }
    let highest = whole.len() as i128 - 1 + exponent;
    let digits = whole.bytes().chain(fraction.unwrap_or("").bytes());
    let worth: Vec<(i128, i128)> = digits
        .enumerate()
        .map(|(place, digit)| (i128::from(digit - b'0'), highest - place as i128))
        .filter(|(digit, _)| *digit != 0)
        .collect();
    let Some(&(_, lowest)) = worth.last() else {
        return Some(0);
    };
    if negative || worth[0].1 > 15 {
        return None;
    }
    if let Some(last) = round_to.map(|decimals| -i128::from(decimals)).filter(|last| lowest < *last) {
        return rounded_to(&worth, last);
    }
    if lowest < -9 {
        return None;
    }
    let decimals = (-lowest).max(0);
    let units: i128 = worth.iter().map(|(digit, power)| digit * 10i128.pow((power + decimals) as u32)).sum();
    (units < 1 << 53).then(|| units * 10i128.pow((9 - decimals) as u32))
}

/// Adds up the digits down to the power `last`, in billionths, and rounds by what is below it: digits,
/// each with its power of ten.
fn rounded_to(worth: &[(i128, i128)], last: i128) -> Option<i128> {
    let units = |digits: &mut dyn Iterator<Item = &(i128, i128)>| -> i128 {
        digits.map(|(digit, power)| digit * 10i128.pow((power - last) as u32)).sum()
    };
    let kept = units(&mut worth.iter().filter(|(_, power)| *power >= last));
    let mut below = worth.iter().filter(|(_, power)| *power < last);
    let up = match below.next() {
        Some(&(digit, power)) if power == last - 1 && digit == 5 => below.next().is_some() || kept % 2 == 1,
        Some(&(digit, power)) => power == last - 1 && digit > 5,
        None => false,
    };
    let kept = kept + i128::from(up);
    let mut normal = (kept, -last);
    while normal.1 > 0 && normal.0 % 10 == 0 {
        normal = (normal.0 / 10, normal.1 - 1);
    }
    (normal.0 < 1 << 53).then(|| kept * 10i128.pow((9 + last) as u32))
}

/// Reads an exponent. One beyond 2^100 is cut to that, which is outside the limits of a price too.
fn exponent(text: &str) -> Option<i128> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| sign * digits.parse::<i128>().unwrap_or(1 << 100).min(1 << 100))
}
