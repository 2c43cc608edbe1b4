//! The names of keys. Products and policies are escaped, so that none can be taken for another part
//! of a key.

use std::fmt::Write as _;

use pricedrop_model::Partition;
use pricedrop_model::cache::Shelf;

/// Builds keys, all with one prefix.
#[derive(Debug, Clone)]
pub(super) struct Names(String);

impl Names {
    pub(super) fn new(prefix: &str) -> Names {
        Names(format!("{prefix}:"))
    }

    /// Returns the key of a cache entry, for one run of the server.
    pub(super) fn shelf(&self, run: &str, shelf: &Shelf) -> String {
        let mut key = format!("{}{run}:price_watch:", self.0);
        match shelf {
            Shelf::Plain(product) => escape(&mut key, product.as_str()),
            Shelf::Live { product, policy } => {
                escape(&mut key, product.as_str());
                key.push(':');
                escape(&mut key, policy);
                key.push_str(":live");
            }
            Shelf::Bucket { product, policy, bucket } => {
                escape(&mut key, product.as_str());
                key.push(':');
                escape(&mut key, policy);
                let _ = write!(key, ":{}", bucket.0);
            }
        }
        key
    }

    /// Returns the key of a delivery. Its own key is not escaped, because nothing follows it.
    pub(super) fn delivery(&self, delivery: &str) -> String {
        format!("{}delivery:{delivery}", self.0)
    }

    /// Returns the key of a partition's sentinel, which names the owner of its retries.
    pub(super) fn owner(&self, partition: Partition) -> String {
        format!("{}retries:{}:owner", self.0, partition.0)
    }

    /// Returns the key of the set of channels that a partition has retries for.
    pub(super) fn channels(&self, partition: Partition) -> String {
        format!("{}retries:{}:channels", self.0, partition.0)
    }

    /// Returns the prefix of the keys of a partition's retries; the channel follows.
    pub(super) fn queues(&self, partition: Partition) -> String {
        format!("{}retries:{}:channel:", self.0, partition.0)
    }
}

/// Escapes all bytes but letters, digits and `-._~@+` as `%XX`.
fn escape(key: &mut String, name: &str) {
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'@' | b'+' => {
                key.push(char::from(byte));
            }
            _ => {
                let _ = write!(key, "%{byte:02X}");
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use pricedrop_model::{BucketId, ProductId};

    use super::*;

    #[test]
    fn no_product_or_policy_can_be_taken_for_another() {
        let names = Names::new("pricedrop");
        let product = |name: &str| ProductId::new(name).unwrap();
        let live = |name: &str, policy: &str| Shelf::Live { product: product(name), policy: policy.into() };
        let bucket = |bucket| Shelf::Bucket {
            product: product("P"),
            policy: "a@1+b".into(),
            bucket: BucketId(bucket),
        };
        let shelves = [
            Shelf::Plain(product("P")),
            Shelf::Plain(product("P:a@1+b:live")),
            Shelf::Plain(product("P%3Aa@1+b:live")),
            live("P", "a@1+b"),
            live("P:a", "@1+b"),
            live("P", "a@1+b:live"),
            bucket(-7),
            bucket(7),
            Shelf::Plain(product("P:a@1+b:7")),
        ];
        let keys: Vec<String> = shelves.iter().map(|shelf| names.shelf("r", shelf)).collect();
        let mut distinct = keys.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), keys.len());
        assert_eq!(keys[6], "pricedrop:r:price_watch:P:a@1+b:-7");
        assert_eq!(keys[1], "pricedrop:r:price_watch:P%3Aa@1+b%3Alive");
    }
}
