//! Exact decimal prices. They are parsed digit by digit, never through a float.

use std::cmp::Ordering;
use std::fmt;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::limits::{PRICE_SCALE, PRICE_UNITS};

/// An exact decimal price of zero or more. It has at most 9 decimals, and its digits without the
/// point are below 2^53. It is always normalised: `79.90` is stored and written as `79.9`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Price(Decimal);

impl Ord for Price {
    /// Compares as whole numbers if both prices have the same number of decimals. Most prices of a
    /// product do, and every watch of a fan-out is compared with the price.
    fn cmp(&self, other: &Price) -> Ordering {
        match self.scale() == other.scale() {
            true => self.units().cmp(&other.units()),
            false => self.0.cmp(&other.0),
        }
    }
}

impl PartialOrd for Price {
    fn partial_cmp(&self, other: &Price) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Why a text is not a price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is not a JSON number.
    #[error("not a plain number (digits, one point, an exponent; no blanks, no `+`, no commas)")]
    NotANumber,
    /// It is below zero.
    #[error("below zero")]
    Negative,
    /// It has more than nine decimals.
    #[error("more than 9 decimals")]
    TooFine,
    /// Its digits are those of a binary floating-point number, which has no exact decimals. Contains
    /// the price it was probably computed from.
    #[error(
        "it looks like a binary float near {0}: send a decimal with at most 9 decimals, or let the engine round \
         with rules.round_decimals"
    )]
    BinaryFloat(Price),
    /// Its digits without the point are 2^53 or more.
    #[error("too large: the digits without the point must stay below 2^53")]
    TooLarge,
}

impl Price {
    /// The lowest price.
    pub const ZERO: Price = Price(Decimal::ZERO);

    /// Creates the price `units / 10^scale`.
    ///
    /// # Errors
    /// The value is outside the limits of a price.
    pub fn new(units: i64, scale: u32) -> Result<Price, Error> {
        if units < 0 {
            return Err(Error::Negative);
        }
        let (mut units, mut scale) = (i128::from(units), scale);
        while scale > 0 && units % 10 == 0 {
            units /= 10;
            scale -= 1;
        }
        if scale > PRICE_SCALE {
            return Err(Error::TooFine);
        }
        if units >= PRICE_UNITS {
            return Err(Error::TooLarge);
        }
        Ok(Price(Decimal::from_i128_with_scale(units, scale)))
    }

    /// Reads a JSON number, with or without an exponent, digit by digit.
    ///
    /// # Errors
    /// The text is not a JSON number, or is outside the limits of a price.
    pub fn parse(text: &str) -> Result<Price, Error> {
        Price::parse_rounded(text, None)
    }

    /// Reads a JSON number as [`Price::parse`] does, and rounds it half to even if it has more
    /// decimals than `round_decimals`.
    ///
    /// # Errors
    /// The text is not a JSON number, or is outside the limits of a price after rounding.
    pub fn parse_rounded(text: &str, round_decimals: Option<u8>) -> Result<Price, Error> {
        let number = JsonNumber::split(text).ok_or(Error::NotANumber)?;
        number.into_price(round_decimals).map_err(|error| match (error, near_float(text)) {
            (Error::TooFine | Error::TooLarge, Some(price)) => Error::BinaryFloat(price),
            _ => error,
        })
    }

    /// Returns the digits without the point, below 2^53.
    pub fn units(self) -> i64 {
        self.0.mantissa() as i64
    }

    /// Returns the number of digits after the point, at most 9.
    pub fn scale(self) -> u8 {
        self.0.scale() as u8
    }

    /// Returns the same amount as a decimal, for arithmetic.
    pub fn to_decimal(self) -> Decimal {
        self.0
    }

    /// Returns twelve bytes that sort as the price does: billionths, big endian.
    pub fn sort_key(self) -> [u8; 12] {
        let billionths = self.0.mantissa() as u128 * 10u128.pow(PRICE_SCALE - self.0.scale());
        let mut key = [0; 12];
        key.copy_from_slice(&billionths.to_be_bytes()[4..]);
        key
    }

    /// Returns the price that has this [`Price::sort_key`].
    ///
    /// # Errors
    /// No price has this key.
    pub fn from_sort_key(key: [u8; 12]) -> Result<Price, Error> {
        let mut wide = [0; 16];
        wide[4..].copy_from_slice(&key);
        let (mut units, mut scale) = (u128::from_be_bytes(wide), PRICE_SCALE);
        while scale > 0 && units.is_multiple_of(10) {
            units /= 10;
            scale -= 1;
        }
        Price::new(i64::try_from(units).map_err(|_| Error::TooLarge)?, scale)
    }
}

/// The parts of a JSON number, without any rounding.
struct JsonNumber<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    exponent: i64,
}

impl<'a> JsonNumber<'a> {
    fn split(text: &'a str) -> Option<JsonNumber<'a>> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match rest.find(['e', 'E']) {
            Some(at) => (&rest[..at], read_exponent(&rest[at + 1..])?),
            None => (rest, 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((whole, fraction)) if is_digits(fraction) => (whole, fraction),
            Some(_) => return None,
            None => (mantissa, ""),
        };
        let leading_zero = whole.len() > 1 && whole.starts_with('0');
        if !is_digits(whole) || leading_zero {
            return None;
        }
        Some(JsonNumber { negative, whole, fraction, exponent })
    }

    fn into_price(self, round_decimals: Option<u8>) -> Result<Price, Error> {
        let digits: String = [self.whole, self.fraction].concat();
        let significant = digits.trim_start_matches('0');
        let kept = significant.trim_end_matches('0');
        if kept.is_empty() {
            return Ok(Price::ZERO);
        }
        if self.negative {
            return Err(Error::Negative);
        }
        let dropped = (significant.len() - kept.len()) as i64;
        let scale = self.fraction.len() as i64 - self.exponent - dropped;
        if let Some(decimals) = round_decimals
            && scale > i64::from(decimals)
        {
            return round(kept, scale - i64::from(decimals), decimals.into());
        }
        if scale > i64::from(PRICE_SCALE) {
            return Err(Error::TooFine);
        }
        if kept.len() as i64 + (-scale).max(0) > 16 {
            return Err(Error::TooLarge);
        }
        let units: i64 = kept.parse().map_err(|_| Error::TooLarge)?;
        match u32::try_from(scale) {
            Ok(scale) => Price::new(units, scale),
            Err(_) => Price::new(units * 10i64.pow(-scale as u32), 0),
        }
    }
}

/// Removes the last `excess` digits of a number, and rounds half to even. The result has `decimals`
/// decimals.
fn round(digits: &str, excess: i64, decimals: u32) -> Result<Price, Error> {
    let kept = usize::try_from(digits.len() as i64 - excess);
    let (kept, removed) = match kept {
        Ok(kept) => digits.split_at(kept),
        // All digits come after the first removed one, which is 0.
        Err(_) => return Ok(Price::ZERO),
    };
    let units: i64 = match kept {
        "" => 0,
        kept => kept.parse().map_err(|_| Error::TooLarge)?,
    };
    let is_half = removed.starts_with('5') && removed[1..].bytes().all(|digit| digit == b'0');
    let is_up = if is_half { units % 2 == 1 } else { removed.as_bytes()[0] >= b'5' };
    Price::new(units.checked_add(is_up.into()).ok_or(Error::TooLarge)?, decimals)
}

/// Fewest significant digits of a number that may be a binary float.
const FLOAT_DIGITS: usize = 15;

/// Returns the short price next to a number that looks like a binary float: a 64-bit one whose
/// digits after the twelfth are only rounding errors, or a 32-bit one. Used for error texts only.
fn near_float(text: &str) -> Option<Price> {
    let digits = text.split(['e', 'E']).next()?.bytes().filter(u8::is_ascii_digit);
    if digits.skip_while(|digit| *digit == b'0').count() < FLOAT_DIGITS {
        return None;
    }
    let float: f64 = text.parse().ok().filter(|float: &f64| float.fract() != 0.0)?;
    let single = float as f32;
    if f64::from(single) == float {
        return Price::parse(&format!("{single:.6e}")).ok();
    }
    let price = Price::parse(&format!("{float:.11e}")).ok()?;
    (Price::parse(&format!("{float:.13e}")) == Ok(price)).then_some(price)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Reads an exponent. One beyond 2^40 is cut to that, which is outside the limits of a price too.
fn read_exponent(text: &str) -> Option<i64> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    is_digits(digits).then(|| sign * digits.parse::<i64>().unwrap_or(i64::MAX).min(1 << 40))
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for Price {
    type Err = Error;
    fn from_str(text: &str) -> Result<Price, Error> {
        Price::parse(text)
    }
}

/// Human-readable formats get a JSON number, compact formats get units and scale.
impl Serialize for Price {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return (self.units() as u64, self.scale()).serialize(serializer);
        }
        RawValue::from_string(self.to_string()).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

/// Human-readable formats contain a JSON number, or a JSON string that contains one.
impl<'de> Deserialize<'de> for Price {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Price, D::Error> {
        use serde::de::Error as _;
        if !deserializer.is_human_readable() {
            let (units, scale) = <(u64, u8)>::deserialize(deserializer)?;
            let units = i64::try_from(units).map_err(D::Error::custom)?;
            return Price::new(units, scale.into()).map_err(D::Error::custom);
        }
        let raw = <Box<RawValue>>::deserialize(deserializer)?;
        Price::from_json(raw.get()).map_err(D::Error::custom)
    }
}

impl Price {
    /// Reads the JSON text of a number, or of a string that contains one.
    ///
    /// # Errors
    /// The text is neither, or is outside the limits of a price.
    pub fn from_json(json: &str) -> Result<Price, Error> {
        Price::from_json_rounded(json, None)
    }

    /// Reads JSON as [`Price::from_json`] does, and rounds as [`Price::parse_rounded`] does.
    ///
    /// # Errors
    /// The text is neither, or is outside the limits of a price after rounding.
    pub fn from_json_rounded(json: &str, round_decimals: Option<u8>) -> Result<Price, Error> {
        if !json.starts_with('"') {
            return Price::parse_rounded(json, round_decimals);
        }
        let text: std::borrow::Cow<'_, str> = serde_json::from_str(json).map_err(|_| Error::NotANumber)?;
        Price::parse_rounded(&text, round_decimals)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_parsed_exactly_and_written_in_normal_form() {
        for (text, written) in [
            ("79.90", "79.9"),
            ("79.9", "79.9"),
            ("0", "0"),
            ("-0.0", "0"),
            ("0e999999999999999999999", "0"),
            ("1e2", "100"),
            ("1E+2", "100"),
            ("12.5e-1", "1.25"),
            ("100000000000000000e-9", "100000000"),
            ("9007199254740991", "9007199254740991"),
            ("9007199.254740991", "9007199.254740991"),
            ("0.000000001", "0.000000001"),
            ("1.0000000000000000000000000000", "1"),
            ("9e15", "9000000000000000"),
            ("12e9", "12000000000"),
        ] {
            let price = Price::parse(text).unwrap();
            assert_eq!(
                (price.to_string(), format!("{price:?}")),
                (written.to_owned(), written.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn an_invalid_price_is_refused_with_the_reason() {
        for (text, error) in [
            ("", Error::NotANumber),
            (" 1", Error::NotANumber),
            ("+1", Error::NotANumber),
            ("01", Error::NotANumber),
            ("1.", Error::NotANumber),
            (".5", Error::NotANumber),
            ("1,5", Error::NotANumber),
            ("NaN", Error::NotANumber),
            ("1e", Error::NotANumber),
            ("-1", Error::Negative),
            ("1e-10", Error::TooFine),
            ("9007199254740992", Error::TooLarge),
            ("900719925474099.21", Error::TooLarge),
            ("1e16", Error::TooLarge),
            ("1e99999999999999999999", Error::TooLarge),
        ] {
            assert_eq!(Price::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn a_binary_float_is_named_with_the_price_it_was_meant_to_be() {
        for (text, near) in [
            ("71.91000000000001", "71.91"),
            ("71.909999999999997", "71.91"),
            ("0.30000000000000004", "0.3"),
            ("1234567.8900000001", "1234567.89"),
            ("123456789.12000000", "123456789.12"),
            ("71.91000366210938", "71.91"),
            ("1.1920000000000001e1", "11.92"),
            ("0.300000000000004", "0.3"),
        ] {
            match Price::parse(text) {
                Ok(price) => assert_eq!(price.to_string(), near, "{text}"),
                Err(error) => {
                    assert_eq!(error, Error::BinaryFloat(Price::parse(near).unwrap()), "{text}");
                    assert!(error.to_string().contains("rules.round_decimals"), "{error}");
                }
            }
        }
        for text in ["0.1234567890123", "9007199254740992", "1e-10", "900719925474099.21"] {
            assert!(matches!(Price::parse(text), Err(Error::TooFine | Error::TooLarge)), "{text}");
        }
    }

    #[test]
    fn rounding_is_half_to_even_and_exact() {
        for (text, decimals, rounded) in [
            ("71.91000000000001", 2, "71.91"),
            ("71.909999999999997", 2, "71.91"),
            ("10.125", 2, "10.12"),
            ("10.135", 2, "10.14"),
            ("10.1250000000000000000000000000000000001", 2, "10.13"),
            ("10.5", 0, "10"),
            ("9.5", 0, "10"),
            ("8.51", 0, "9"),
            ("0.5", 0, "0"),
            ("0.05", 0, "0"),
            ("0.6", 0, "1"),
            ("99.995", 2, "100"),
            ("5e-10", 9, "0"),
            ("6e-10", 9, "0.000000001"),
            ("1e-99", 9, "0"),
            ("79.9", 2, "79.9"),
            ("71.91", 2, "71.91"),
            ("9007199254740991.4", 0, "9007199254740991"),
        ] {
            let price = Price::parse_rounded(text, Some(decimals)).unwrap();
            assert_eq!(price.to_string(), rounded, "{text} with {decimals} decimals");
        }
        assert_eq!(Price::parse_rounded("9007199254740991.5", Some(0)), Err(Error::TooLarge));
        assert_eq!(Price::parse_rounded("-0.1", Some(0)), Err(Error::Negative));
    }

    #[test]
    fn sort_keys_sort_like_prices_and_convert_back() {
        let mut prices: Vec<Price> = ["0", "0.000000001", "0.1", "9", "79.9", "80", "9007199254740991"]
            .iter()
            .map(|text| Price::parse(text).unwrap())
            .collect();
        prices.sort();
        let keys: Vec<_> = prices.iter().map(|price| price.sort_key()).collect();
        assert!(keys.is_sorted());
        for (price, key) in prices.iter().zip(keys) {
            assert_eq!(Price::from_sort_key(key), Ok(*price));
        }
    }
}
