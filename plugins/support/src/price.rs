//! Exact prices: units and scale.

use crate::types::Price;

/// The finest scale of a price.
const SCALE_MAX: u8 = 9;

/// The price in units of 10^-9. Exact: below 2^53 * 10^9, so below 2^83.
pub fn nanos(price: &Price) -> u128 {
    // The host promises 0 <= units and scale <= 9; anything else must not wrap.
    let units = u128::from(price.units.max(0).unsigned_abs());
    units * 10_u128.pow(u32::from(SCALE_MAX.saturating_sub(price.scale)))
}

/// The price as plain decimal digits, as JSON writes a number.
pub fn decimal(price: &Price) -> String {
    let digits = price.units.to_string();
    let scale = usize::from(price.scale);
    if scale == 0 {
        return digits;
    }
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    format!("{whole}.{fraction}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_price_has_the_same_nanos_at_every_scale() {
        assert_eq!(nanos(&Price { units: 799, scale: 1 }), 79_900_000_000);
        assert_eq!(nanos(&Price { units: 7990, scale: 2 }), 79_900_000_000);
        let highest = Price { units: (1 << 53) - 1, scale: 0 };
        assert_eq!(nanos(&highest), ((1 << 53) - 1) * 1_000_000_000);
    }

    #[test]
    fn a_price_is_written_digit_by_digit() {
        assert_eq!(decimal(&Price { units: 799, scale: 1 }), "79.9");
        assert_eq!(decimal(&Price { units: 5, scale: 3 }), "0.005");
        assert_eq!(decimal(&Price { units: 0, scale: 0 }), "0");
        assert_eq!(decimal(&Price { units: 80, scale: 0 }), "80");
    }
}
