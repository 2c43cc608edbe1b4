//! Self-test cases of bucketing policies.

use pricedrop_model::plugin::Bucketing;
use pricedrop_model::{Price, ProductId};
use serde::Deserialize;

use super::values::{Number, differs};

/// Prices of one product, and their expected buckets in the same order.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    product: ProductId,
    prices: Vec<Number>,
    buckets: Vec<i64>,
}

pub(super) fn run(case: &Case, policy: &dyn Bucketing) -> Result<(), String> {
    let prices: Vec<Price> = case.prices.iter().map(|number| number.0).collect();
    let buckets = policy.buckets_of(&case.product, &prices).map_err(|error| error.to_string())?;
    let buckets: Vec<i64> = buckets.into_iter().map(|bucket| bucket.0).collect();
    if buckets == case.buckets { Ok(()) } else { Err(differs(&case.buckets, &buckets)) }
}
