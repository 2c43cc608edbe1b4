//! Converts prices to and from the CQL type `decimal`, exactly.

use pricedrop_model::Price;
use scylla::value::{CqlDecimal, CqlDecimalBorrowed};

/// Returns the decimal of a price, with the price's normalised scale.
pub(super) fn to_cql(price: Price) -> CqlDecimal {
    CqlDecimal::from_signed_be_bytes_slice_and_exponent(&bytes(price.units()), price.scale().into())
}

/// Returns the shortest two's complement encoding of a number that is not negative.
fn bytes(units: i64) -> Vec<u8> {
    let all = units.to_be_bytes();
    let first = (0..all.len() - 1).find(|&at| all[at] != 0 || all[at + 1] & 0x80 != 0);
    all[first.unwrap_or(all.len() - 1)..].to_vec()
}

/// Returns the price of a decimal, or `None` if it is negative or outside the limits of a price.
pub(super) fn to_price(decimal: &CqlDecimalBorrowed<'_>) -> Option<Price> {
    let (bytes, scale) = decimal.as_signed_be_bytes_slice_and_exponent();
    let mut units = number(bytes)?;
    let mut scale = scale;
    if units == 0 {
        return Some(Price::ZERO);
    }
    while scale > 0 && units % 10 == 0 {
        units /= 10;
        scale -= 1;
    }
    if scale < 0 {
        units = units.checked_mul(10i128.checked_pow(scale.unsigned_abs())?)?;
        scale = 0;
    }
    Price::new(i64::try_from(units).ok()?, scale.unsigned_abs()).ok()
}

/// Decodes a two's complement number. Returns `None` if it is empty or has more than 16 bytes.
fn number(bytes: &[u8]) -> Option<i128> {
    let negative = bytes.first()? & 0x80 != 0;
    let mut wide = if negative { [0xff; 16] } else { [0; 16] };
    wide.get_mut(16usize.checked_sub(bytes.len())?..)?.copy_from_slice(bytes);
    Some(i128::from_be_bytes(wide))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], scale: i32) -> Option<Price> {
        to_price(&CqlDecimalBorrowed::from_signed_be_bytes_slice_and_exponent(bytes, scale))
    }

    #[test]
    fn every_price_survives_storing() {
        for text in [
            "0",
            "0.000000001",
            "1.27",
            "1.28",
            "79.9",
            "255",
            "256",
            "9007199254740991",
            "9.007199254740991e6",
        ] {
            let price = Price::parse(text).unwrap();
            let decimal = to_cql(price);
            let (bytes, scale) = decimal.as_signed_be_bytes_slice_and_exponent();
            assert_eq!(read(bytes, scale), Some(price), "{text}");
        }
    }

    #[test]
    fn a_price_of_any_scale_is_read() {
        let ten = Price::parse("10").unwrap();
        assert_eq!(read(&[10], 0), Some(ten));
        assert_eq!(read(&[1], -1), Some(ten));
        assert_eq!(read(&[0x03, 0xe8], 2), Some(ten));
        assert_eq!(read(&[0, 0, 0, 10], 0), Some(ten));
        assert_eq!(read(&[0], 40), Some(Price::ZERO));
        let long = 10i128.pow(31).to_be_bytes();
        assert_eq!(read(&long, 30), Some(ten));
    }

    #[test]
    fn a_decimal_that_is_not_a_price_is_refused() {
        assert_eq!(read(&[0xff], 0), None, "negative");
        assert_eq!(read(&[1], 10), None, "too fine");
        assert_eq!(read(&[1], -40), None, "too large");
        assert_eq!(read(&[1; 40], 0), None, "far too large");
        assert_eq!(read(&[], 0), None, "empty");
    }
}
