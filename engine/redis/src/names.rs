//! The names of keys. Products and policies are escaped, so that none can be taken for another part
//! of a key.

use std::fmt::Write as _;

use pricedrop_model::Partition;
use pricedrop_model::cache::CacheKey;

/// Builds keys, all with one prefix.
#[derive(Debug, Clone)]
pub(super) struct Names(String);

impl Names {
    pub(super) fn new(prefix: &str) -> Names {
        Names(format!("{prefix}:"))
    }

    /// Returns the key of a cache entry, for one run of the server.
    pub(super) fn key(&self, run: &str, key: &CacheKey) -> String {
        let mut name = format!("{}{run}:price_watch:", self.0);
        match key {
            CacheKey::Product(product) => escape(&mut name, product.as_str()),
            CacheKey::Live { product, policy } => {
                escape(&mut name, product.as_str());
                name.push(':');
                escape(&mut name, policy);
                name.push_str(":live");
            }
            CacheKey::Bucket { product, policy, bucket } => {
                escape(&mut name, product.as_str());
                name.push(':');
                escape(&mut name, policy);
                let _ = write!(name, ":{}", bucket.0);
            }
        }
        name
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
    fn keys_of_different_products_and_policies_differ() {
        let names = Names::new("pricedrop");
        let product = |name: &str| ProductId::new(name).unwrap();
        let live =
            |name: &str, policy: &str| CacheKey::Live { product: product(name), policy: policy.into() };
        let bucket = |bucket| CacheKey::Bucket {
            product: product("P"),
            policy: "a@1+b".into(),
            bucket: BucketId(bucket),
        };
        let keys = [
            CacheKey::Product(product("P")),
            CacheKey::Product(product("P:a@1+b:live")),
            CacheKey::Product(product("P%3Aa@1+b:live")),
            live("P", "a@1+b"),
            live("P:a", "@1+b"),
            live("P", "a@1+b:live"),
            bucket(-7),
            bucket(7),
            CacheKey::Product(product("P:a@1+b:7")),
        ];
        let keys: Vec<String> = keys.iter().map(|key| names.key("r", key)).collect();
        let mut distinct = keys.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), keys.len());
        assert_eq!(keys[6], "pricedrop:r:price_watch:P:a@1+b:-7");
        assert_eq!(keys[1], "pricedrop:r:price_watch:P%3Aa@1+b%3Alive");
    }
}
