//! Implements the model's trait of bucketing policies by calls of the plugin, and checks every
//! answer against the contract.

use pricedrop_model::plugin::{self, Bucketing as Policy, PolicyIdentity};
use pricedrop_model::{BucketId, Price, ProductId};

use super::contract;
use crate::plugin::{Failure, Plugin};

contract!(
    Bucketing,
    Bucketing,
    "pricedrop:bucketing/policy@0.1.0",
    bucketing,
    BucketingPre,
    Bucketing,
    pricedrop_bucketing_policy
);

/// A bucketing plugin with the identity of its mapping.
pub(crate) struct BucketingPolicy {
    pub(crate) plugin: Plugin<Bucketing>,
    pub(crate) identity: PolicyIdentity,
}

const FUNCTION: &str = "bucket-of";
/// Limit of |bucket|: below 2^53, a number is exact in every plugin language.
const BUCKETS: u64 = 1 << 53;

impl Plugin<Bucketing> {
    /// Asks for one bucket per price. An answer that breaks the contract is a failure.
    pub(crate) fn call_bucket_of(&self, product: &str, prices: &[Price]) -> Result<Vec<BucketId>, Failure> {
        let units: Vec<i64> = prices.iter().map(|price| price.units()).collect();
        let scales: Vec<u8> = prices.iter().map(|price| price.scale()).collect();
        let buckets = self.call(|exports, store| {
            exports.pricedrop_bucketing_policy().call_bucket_of(store, product, &units, &scales)
        })?;
        check(prices, &buckets).map_err(Failure::Breach)?;
        Ok(buckets.into_iter().map(BucketId).collect())
    }
}

/// Checks one answer against the contract: its length, the range of buckets, and that neighbouring
/// prices have buckets in the same order.
fn check(prices: &[Price], buckets: &[i64]) -> Result<(), String> {
    if buckets.len() != prices.len() {
        return Err(format!(
            "{} buckets for {} prices; exactly one each is required",
            buckets.len(),
            prices.len()
        ));
    }
    if let Some((price, bucket)) =
        prices.iter().zip(buckets).find(|(_, bucket)| bucket.unsigned_abs() >= BUCKETS)
    {
        return Err(format!("price {price} got bucket {bucket}; |bucket| must be below 2^53"));
    }
    let falls = |at: &usize| {
        let order = prices[at - 1].cmp(&prices[*at]);
        let buckets = buckets[at - 1].cmp(&buckets[*at]);
        if order.is_eq() { buckets.is_ne() } else { buckets == order.reverse() }
    };
    match (1..prices.len()).find(falls) {
        None => Ok(()),
        Some(at) => Err(format!(
            "price {} got bucket {}, but price {} got bucket {}: a higher price must never get a lower bucket, nor a price two",
            prices[at - 1],
            buckets[at - 1],
            prices[at],
            buckets[at]
        )),
    }
}

impl Policy for BucketingPolicy {
    fn identity(&self) -> &PolicyIdentity {
        &self.identity
    }

    fn buckets_of(&self, product: &ProductId, prices: &[Price]) -> Result<Vec<BucketId>, plugin::Error> {
        let plugin = &self.plugin;
        plugin.admit(FUNCTION)?;
        let answer = match plugin.call_bucket_of(product.as_str(), prices) {
            // A trap may be due to the state of the instance, so a fresh instance is asked once.
            Err(Failure::Trap(_)) => {
                plugin.call_bucket_of(product.as_str(), prices).inspect(|_| plugin.trapped_once(FUNCTION))
            }
            answer => answer,
        };
        plugin.record_outcome(FUNCTION, answer)
    }

    fn report_breach(&self, product: &ProductId, what: &str) {
        self.plugin.breached(FUNCTION, &format!("product {product}: {what}"));
    }
}
