//! Computes the bucket of a price: floor(price / width).

use pricedrop_plugin_support::types::Price;

/// The contract's bound on buckets. Prices beyond it share the last bucket,
/// which keeps the mapping non-decreasing.
const BUCKET_MAX: u64 = (1 << 53) - 1;
/// Of a price.
const SCALE_MAX: usize = 9;

/// bucket = units * multiplier / divisor, for prices of one scale.
#[derive(Clone, Copy)]
struct Fraction {
    multiplier: u64,
    divisor: u128,
}

/// Buckets of one width.
pub struct Floor {
    by_scale: [Fraction; SCALE_MAX + 1],
}

impl Floor {
    /// `None` if the width is not above zero.
    pub fn new(width: &Price) -> Option<Self> {
        let units = u64::try_from(width.units).ok().filter(|&units| units > 0)?;
        let width_scale = u32::from(width.scale);
        // (units / 10^s) / (width / 10^w) = units * 10^(w-s) / width, or units / (width * 10^(s-w)).
        let by_scale = std::array::from_fn(|scale| Fraction {
            multiplier: 10_u64.pow(width_scale.saturating_sub(scale as u32)),
            divisor: u128::from(units) * 10_u128.pow((scale as u32).saturating_sub(width_scale)),
        });
        Some(Self { by_scale })
    }

    /// floor(price / width), exactly.
    pub fn bucket_of(&self, units: i64, scale: u8) -> i64 {
        let Fraction { multiplier, divisor } = self.by_scale[usize::from(scale).min(SCALE_MAX)];
        let units = units.max(0).unsigned_abs();
        // Nearly every price fits 64 bits; division of 128 is ten times slower.
        let bucket = match (units.checked_mul(multiplier), u64::try_from(divisor)) {
            (Some(dividend), Ok(divisor)) => dividend / divisor,
            _ => (u128::from(units) * u128::from(multiplier) / divisor).min(u128::from(BUCKET_MAX)) as u64,
        };
        bucket.min(BUCKET_MAX) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pricedrop_plugin_support::nanos;

    #[test]
    fn a_bucket_begins_at_a_multiple_of_the_width() {
        let floor = Floor::new(&Price { units: 10, scale: 0 }).unwrap();
        for (units, scale, bucket) in
            [(0, 0, 0), (999, 2, 0), (10, 0, 1), (799, 1, 7), (80, 0, 8), (79999999999, 9, 7)]
        {
            assert_eq!(floor.bucket_of(units, scale), bucket, "{units}e-{scale}");
        }
    }

    #[test]
    fn every_width_and_scale_agrees_with_plain_wide_arithmetic() {
        let numbers = [0, 1, 3, 7, 10, 99, 101, 12_345, 999_999_999, 1 << 40, (1 << 53) - 1];
        for width_scale in 0..=9 {
            for &width_units in &numbers[1..] {
                let width = Price { units: width_units, scale: width_scale };
                let floor = Floor::new(&width).unwrap();
                for scale in 0..=9 {
                    for &units in &numbers {
                        let price = Price { units, scale };
                        let expected = (nanos(&price) / nanos(&width)).min(u128::from(BUCKET_MAX));
                        assert_eq!(floor.bucket_of(units, scale) as u128, expected, "{price:?} / {width:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_width_of_nothing_is_refused() {
        assert!(Floor::new(&Price { units: 0, scale: 0 }).is_none());
    }
}
