//! Computes the bucket of a price, from a table of ascending thresholds in whole billionths,
//! made by integer arithmetic alone. A logarithm in floating point could give
//! neighbouring prices swapped buckets, and another answer on another machine.

use pricedrop_plugin_support::nanos;
use pricedrop_plugin_support::types::Price;

/// Keeps the table below 60,000 thresholds.
const RATIO_MIN: Price = Price { units: 1_001, scale: 3 };
/// Keeps threshold * ratio within 128 bits.
const RATIO_MAX: Price = Price { units: 100, scale: 0 };
/// No price is higher.
const PRICE_MAX: Price = Price { units: (1 << 53) - 1, scale: 0 };
const NANOS_PER_UNIT: u128 = 1_000_000_000;

/// Where buckets 1, 2, 3, ... begin.
pub struct Ladder {
    thresholds_nanos: Vec<u128>,
}

impl Ladder {
    /// Threshold 0 is the base, each next one floor(threshold * ratio), but at
    /// least one billionth higher. The problem is a setting and what is wrong with it.
    pub fn new(base: &Price, ratio: &Price) -> Result<Self, (&'static str, &'static str)> {
        let ratio_nanos = nanos(ratio);
        if !(nanos(&RATIO_MIN)..=nanos(&RATIO_MAX)).contains(&ratio_nanos) {
            return Err(("ratio", "must be from 1.001 to 100, for example 1.1"));
        }
        if nanos(base) == 0 {
            return Err(("base", "must be above 0, for example 1"));
        }
        let next = |&threshold: &u128| Some((threshold * ratio_nanos / NANOS_PER_UNIT).max(threshold + 1));
        let thresholds_nanos = std::iter::successors(Some(nanos(base)), next)
            .take_while(|&threshold| threshold <= nanos(&PRICE_MAX))
            .collect();
        Ok(Self { thresholds_nanos })
    }

    /// How many thresholds the price has reached.
    pub fn bucket_of(&self, price: &Price) -> i64 {
        let price_nanos = nanos(price);
        self.thresholds_nanos.partition_point(|&threshold| threshold <= price_nanos) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ladder(base: (i64, u8), ratio: (i64, u8)) -> Ladder {
        let price = |(units, scale)| Price { units, scale };
        Ladder::new(&price(base), &price(ratio)).unwrap()
    }

    #[test]
    fn a_bucket_begins_exactly_at_its_threshold() {
        let ladder = ladder((1, 0), (11, 1));
        for (units, scale, bucket) in
            [(0, 0, 0), (999_999_999, 9, 0), (1, 0, 1), (109, 2, 1), (11, 1, 2), (1209, 3, 2), (121, 2, 3)]
        {
            assert_eq!(ladder.bucket_of(&Price { units, scale }), bucket, "{units}e-{scale}");
        }
    }

    #[test]
    fn thresholds_ascend_whatever_the_settings() {
        for base in [(1, 9), (1, 2), (1, 0), (PRICE_MAX.units, 9), (PRICE_MAX.units, 0)] {
            for ratio in [(1_001, 3), (1_000_000_001_i64 + 999_999, 9), (11, 1), (100, 0)] {
                let thresholds = ladder(base, ratio).thresholds_nanos;
                assert!(thresholds.is_sorted_by(|lower, higher| lower < higher), "{base:?} {ratio:?}");
                assert!((1..60_000).contains(&thresholds.len()), "{base:?} {ratio:?} {}", thresholds.len());
            }
        }
    }

    #[test]
    fn every_threshold_separates_its_neighbours() {
        let ladder = ladder((1, 2), (105, 2));
        for (index, &threshold) in
            ladder.thresholds_nanos.iter().enumerate().take_while(|&(_, &t)| t < 1 << 53)
        {
            let at = |nanos: u128| ladder.bucket_of(&Price { units: nanos as i64, scale: 9 });
            assert_eq!((at(threshold - 1), at(threshold)), (index as i64, index as i64 + 1));
        }
    }

    #[test]
    fn a_ratio_or_base_out_of_range_is_refused_by_name() {
        let one = Price { units: 1, scale: 0 };
        let refused = |base, ratio| Ladder::new(&base, &ratio).err().map(|(name, _)| name);
        assert_eq!(refused(one, one), Some("ratio"));
        assert_eq!(refused(one, Price { units: 101, scale: 0 }), Some("ratio"));
        assert_eq!(refused(Price { units: 0, scale: 0 }, Price { units: 2, scale: 0 }), Some("base"));
    }
}
