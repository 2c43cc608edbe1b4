//! The load check of a bucketing policy: checks that its mapping from prices to buckets is pure and
//! non-decreasing, and computes the fingerprint of the mapping.
//!
//! The policy is asked about a fixed sample of prices, and about multiples of each decimal setting;
//! then again on a fresh instance, in another order and in other batches. If two neighbours of the
//! fixed sample have different buckets, bisection finds the exact boundary between them. The fingerprint
//! is a hash of the answers to the fixed sample and of the boundaries.

use std::collections::BTreeSet;

use pricedrop_model::limits::{PRICE_SCALE, PRICE_UNITS};
use pricedrop_model::{BucketId, Price};

use crate::contract::bucketing::Bucketing;
use crate::digest::Digest;
use crate::error::FIX_PLUGIN;
use crate::limits::CHECK_ITEMS;
use crate::plugin::{Failure, Plugin};

/// Why a policy failed its check.
pub(crate) struct CheckFailure {
    pub(crate) function: &'static str,
    pub(crate) reason: String,
    pub(crate) remedy: &'static str,
}

const FUNCTION: &str = "bucket-of";
/// Rounds of random prices in the fixed sample, two prices each.
const RANDOM_PRICES: usize = 6_000;
/// Multiples of each decimal setting in the sample.
const MULTIPLES: i128 = 150;
/// Maximum number of decimal settings whose multiples are in the sample.
const DECIMALS: usize = 8;
/// Maximum number of boundaries that are found exactly.
const BOUNDARIES: usize = 256;
/// Maximum number of prices in a call.
const CALL_ITEMS: usize = 2_048;
/// Maximum number of prices in a call when prices are asked about again, so that batches differ.
const OTHER_CALL_ITEMS: usize = 997;
/// Products that are asked about. The second and the third get every fifth price.
const PRODUCTS: [&str; 3] = ["P1", "another product", "\u{1F45F}"];

/// Checks a policy and returns its fingerprint.
///
/// # Errors
/// The mapping is not pure or decreases somewhere, or the plugin fails.
pub(crate) fn check(plugin: &Plugin<Bucketing>) -> Result<String, CheckFailure> {
    let mut prober = Prober { plugin, remaining: CHECK_ITEMS };
    let fixed = fixed_sample();
    let around = multiples_of_settings(plugin);
    let all: Vec<Price> = fixed.iter().chain(&around).copied().collect::<BTreeSet<_>>().into_iter().collect();
    let answers = prober.buckets_of(PRODUCTS[0], &all, CALL_ITEMS)?;
    non_decreasing(&all, &answers)?;
    check_repeatable(&mut prober, &all, &answers)?;
    for product in &PRODUCTS[1..] {
        let some: Vec<Price> = all.iter().step_by(5).copied().collect();
        let buckets = prober.buckets_of(product, &some, OTHER_CALL_ITEMS)?;
        non_decreasing(&some, &buckets)?;
    }
    fingerprint(&mut prober, &fixed)
}

/// Asks the plugin, and counts the prices against the budget of the check.
struct Prober<'a> {
    plugin: &'a Plugin<Bucketing>,
    remaining: usize,
}

impl Prober<'_> {
    fn buckets_of(
        &mut self,
        product: &str,
        prices: &[Price],
        batch_size: usize,
    ) -> Result<Vec<BucketId>, CheckFailure> {
        let mut buckets = Vec::with_capacity(prices.len());
        for part in prices.chunks(batch_size) {
            self.remaining = self.remaining.saturating_sub(part.len());
            let answers = self.plugin.call_bucket_of(product, part).map_err(|failure| failed(&failure))?;
            buckets.extend(answers);
        }
        Ok(buckets)
    }
}

fn failed(failure: &Failure) -> CheckFailure {
    let remedy = match failure {
        Failure::Cpu(_) => "make it faster, or raise the limit cpu_ms",
        Failure::Trap(_) | Failure::Breach(_) => FIX_PLUGIN,
    };
    CheckFailure { function: FUNCTION, reason: failure.reason().to_owned(), remedy }
}

fn breach(reason: String) -> CheckFailure {
    CheckFailure { function: FUNCTION, reason, remedy: FIX_PLUGIN }
}

fn non_decreasing(prices: &[Price], buckets: &[BucketId]) -> Result<(), CheckFailure> {
    match (1..prices.len()).find(|&at| buckets[at] < buckets[at - 1]) {
        None => Ok(()),
        Some(at) => Err(breach(format!(
            "price {} got bucket {}, but the higher price {} got bucket {}",
            prices[at - 1],
            buckets[at - 1].0,
            prices[at],
            buckets[at].0
        ))),
    }
}

/// Asks about the same prices of the same product again: on a fresh instance, in another order, in
/// other batches. Fails if an answer differs.
fn check_repeatable(
    prober: &mut Prober<'_>,
    prices: &[Price],
    answers: &[BucketId],
) -> Result<(), CheckFailure> {
    prober.plugin.drop_idle_instances();
    let mut order: Vec<usize> = (0..prices.len()).collect();
    let mut random = Random(0x006f_7264_6572);
    for at in (1..order.len()).rev() {
        order.swap(at, random.below(at as u64 + 1) as usize);
    }
    let shuffled: Vec<Price> = order.iter().map(|&at| prices[at]).collect();
    let again = prober.buckets_of(PRODUCTS[0], &shuffled, OTHER_CALL_ITEMS)?;
    match order.iter().zip(&again).find(|(at, bucket)| answers[**at] != **bucket) {
        None => Ok(()),
        Some((&at, bucket)) => Err(breach(format!(
            "price {} got bucket {} once and bucket {} when asked again in another order: it must depend on the product and price alone",
            prices[at], answers[at].0, bucket.0
        ))),
    }
}

/// Returns the fixed sample. It is the same for every policy, so that fingerprints are comparable.
fn fixed_sample() -> Vec<Price> {
    let mut prices = BTreeSet::new();
    let mut add = |units: i128, scale: u32| {
        if let Some(price) = i64::try_from(units).ok().and_then(|units| Price::new(units, scale).ok()) {
            prices.insert(price);
        }
    };
    for scale in 0..=PRICE_SCALE {
        for power in 0..53 {
            (-1..=1).for_each(|by| add((1 << power) + by, scale));
        }
        for power in 0..16 {
            (-1..=1).for_each(|by| add(10i128.pow(power) + by, scale));
        }
        add(PRICE_UNITS - 1, scale);
    }
    let mut random = Random(0x7361_6d70_6c65);
    for _ in 0..RANDOM_PRICES {
        // Uniform in the logarithm: as many between 1 and 10 as between 10 and 100.
        let bits = random.below(53) as u32 + 1;
        add(i128::from(random.below(1 << bits)), random.below(u64::from(PRICE_SCALE) + 1) as u32);
        // Most prices in shops have two decimals and at most five digits before the point.
        add(i128::from(random.below(1 << (bits % 24 + 1))), 2);
    }
    prices.into_iter().collect()
}

/// Returns multiples of each decimal setting, and their neighbours at a distance of one unit.
fn multiples_of_settings(plugin: &Plugin<Bucketing>) -> Vec<Price> {
    let mut prices = Vec::new();
    for setting in plugin.settings.decimals().take(DECIMALS) {
        let scale = u32::from(setting.scale());
        for times in 0..MULTIPLES {
            let units = i128::from(setting.units()) * times;
            for (units, scale) in [(units, scale), (units * 100, scale + 2)] {
                let near = (-1..=1).filter_map(|by| i64::try_from(units + by).ok());
                prices.extend(near.filter_map(|units| Price::new(units, scale).ok()));
            }
        }
    }
    prices
}

/// An interval between two prices with different buckets, which bisection narrows to the exact boundary.
/// `low` and `high` are in billionths; `bucket` is that of `low`.
struct Boundary {
    low: u128,
    high: u128,
    bucket: BucketId,
}

/// Returns the fingerprint: a hash of the answers to the fixed sample, and of up to [`BOUNDARIES`] exact
/// boundaries.
fn fingerprint(prober: &mut Prober<'_>, fixed: &[Price]) -> Result<String, CheckFailure> {
    let buckets = prober.buckets_of(PRODUCTS[0], fixed, CALL_ITEMS)?;
    let mut boundaries = some_boundaries(fixed, &buckets);
    loop {
        let open: Vec<usize> =
            (0..boundaries.len()).filter(|&at| middle(&boundaries[at]).is_some()).collect();
        if open.is_empty() || prober.remaining < open.len() {
            break;
        }
        let prices: Vec<Price> = open.iter().filter_map(|&at| middle(&boundaries[at])).collect();
        for ((&at, price), bucket) in
            open.iter().zip(&prices).zip(prober.buckets_of(PRODUCTS[0], &prices, CALL_ITEMS)?)
        {
            let boundary = &mut boundaries[at];
            match bucket > boundary.bucket {
                true => boundary.high = billionths(*price),
                false => boundary.low = billionths(*price),
            }
        }
    }
    let mut text = String::new();
    for (price, bucket) in fixed.iter().zip(&buckets) {
        text.push_str(&format!("{price}:{}\n", bucket.0));
    }
    for boundary in &boundaries {
        text.push_str(&format!("{}-{}:{}\n", boundary.low, boundary.high, boundary.bucket.0));
    }
    Ok(Digest::of(&[text.as_bytes()]).as_str()[..32].to_owned())
}

fn some_boundaries(fixed: &[Price], buckets: &[BucketId]) -> Vec<Boundary> {
    let changes: Vec<usize> = (1..fixed.len()).filter(|&at| buckets[at] != buckets[at - 1]).collect();
    let step = changes.len().div_ceil(BOUNDARIES).max(1);
    changes
        .into_iter()
        .step_by(step)
        .map(|at| Boundary {
            low: billionths(fixed[at - 1]),
            high: billionths(fixed[at]),
            bucket: buckets[at - 1],
        })
        .collect()
}

/// Returns a price strictly inside the interval of a boundary; none if the boundary is exact.
fn middle(boundary: &Boundary) -> Option<Price> {
    let middle = boundary.low + (boundary.high - boundary.low) / 2;
    // The smallest step between two prices of this size.
    let grain = (0..=PRICE_SCALE)
        .map(|scale| 10u128.pow(scale))
        .find(|grain| boundary.high / grain < PRICE_UNITS as u128)?;
    let price = from_billionths(middle / grain * grain)?;
    (boundary.low < billionths(price) && billionths(price) < boundary.high).then_some(price)
}

fn billionths(price: Price) -> u128 {
    price.units().unsigned_abs() as u128 * 10u128.pow(PRICE_SCALE - u32::from(price.scale()))
}

fn from_billionths(value: u128) -> Option<Price> {
    let (mut units, mut scale) = (value, PRICE_SCALE);
    while scale > 0 && units.is_multiple_of(10) {
        units /= 10;
        scale -= 1;
    }
    Price::new(i64::try_from(units).ok()?, scale).ok()
}

/// The SplitMix64 generator: gives the same sample on every machine and in every release.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `bound`. Its modulo bias does not matter here.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
