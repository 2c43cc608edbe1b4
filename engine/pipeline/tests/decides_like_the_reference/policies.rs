//! Bucketing policies in plain Rust. Any non-decreasing mapping from price to bucket is valid.

use std::sync::{Arc, Mutex};

use pricedrop_model::channel::Channel;
use pricedrop_model::plugin::{Bucketing, Error, Plugins, PolicyIdentity, Throttling};
use pricedrop_model::{BucketId, Price, ProductId};

use crate::harness::{Dice, billionths};

const MOST: i128 = (1 << 53) - 1;

/// A mapping from price to bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mapping {
    /// floor(price / 10).
    Floor10,
    /// Logarithmic: each bucket is twice as wide as the one before.
    Doubling,
    /// All prices in one bucket.
    Constant,
    /// Each price in a bucket of its own, as far as the range of buckets goes.
    Identity,
}

impl Mapping {
    pub const ALL: [Mapping; 4] = [Mapping::Floor10, Mapping::Doubling, Mapping::Constant, Mapping::Identity];

    fn bucket(self, price: Price) -> BucketId {
        let billionths = billionths(price);
        let bucket = match self {
            Mapping::Floor10 => billionths / 10_000_000_000,
            Mapping::Doubling => i128::from(128 - billionths.leading_zeros()) - 30,
            Mapping::Constant => -7,
            Mapping::Identity => billionths,
        };
        BucketId(bucket.min(MOST) as i64)
    }
}

/// The plugins of a run.
#[derive(Clone, Default)]
pub struct Policies {
    pub mapping: Option<Mapping>,
    /// `Some(n)`: a call of the mapping fails with probability 1/n.
    pub fails_one_in: Option<u64>,
    pub throttling: Option<Arc<dyn Throttling>>,
}

impl Plugins for Policies {
    fn bucketing(&self) -> Option<Arc<dyn Bucketing>> {
        let mapping = self.mapping?;
        let identity =
            PolicyIdentity { name: format!("{mapping:?}@1+0"), fingerprint: format!("{mapping:?}") };
        let fails = self.fails_one_in.map(|one_in| (one_in, Mutex::new(Dice(one_in))));
        Some(Arc::new(Native { mapping, identity, fails }))
    }

    fn throttling(&self) -> Option<Arc<dyn Throttling>> {
        self.throttling.clone()
    }

    fn channel(&self, _name: &str) -> Option<Arc<dyn Channel>> {
        None
    }
}

struct Native {
    mapping: Mapping,
    identity: PolicyIdentity,
    fails: Option<(u64, Mutex<Dice>)>,
}

impl Bucketing for Native {
    fn identity(&self) -> &PolicyIdentity {
        &self.identity
    }

    fn buckets_of(&self, _product: &ProductId, prices: &[Price]) -> Result<Vec<BucketId>, Error> {
        let fails = self.fails.as_ref();
        if fails.is_some_and(|(one_in, dice)| dice.lock().unwrap().roll(*one_in) == 0) {
            let (plugin, reason) = (self.identity.name.clone(), "a fault".to_owned());
            return Err(Error { plugin, function: "bucket-of", reason });
        }
        Ok(prices.iter().map(|price| self.mapping.bucket(*price)).collect())
    }

    fn report_breach(&self, product: &ProductId, what: &str) {
        panic!("{product}: {what}");
    }
}
