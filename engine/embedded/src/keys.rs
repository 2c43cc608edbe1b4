//! Encodes the keys of rows. A name is followed by two zero bytes, and a zero byte within it is
//! written as 0 255. So keys sort by the bytes of their names, and no encoded name is a prefix of
//! another.

use pricedrop_model::{BucketId, Cause, Currency, Partition, Price, ProductId, StateKey, UserId};

use super::error::Broken;

/// Bytes of a threshold within a key.
const PRICE: usize = 12;

/// Appends a name.
pub(super) fn push_name(key: &mut Vec<u8>, name: &str) {
    for byte in name.bytes() {
        key.push(byte);
        if byte == 0 {
            key.push(255);
        }
    }
    key.extend([0, 0]);
}

/// Splits a name off the front of a key.
pub(super) fn take_name(key: &[u8]) -> Result<(String, &[u8]), Broken> {
    let mut name = Vec::with_capacity(key.len());
    let mut at = 0;
    loop {
        match (key.get(at), key.get(at + 1)) {
            (Some(0), Some(0)) => break,
            (Some(0), Some(255)) => {
                name.push(0);
                at += 2;
            }
            (Some(&byte), _) if byte != 0 => {
                name.push(byte);
                at += 1;
            }
            _ => return Err(Broken("a name without an end".into())),
        }
    }
    let name = String::from_utf8(name).map_err(|error| Broken(Cause::of(error)))?;
    Ok((name, &key[at + 2..]))
}

/// Returns the key of one name.
pub(super) fn name(name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len() + 2);
    push_name(&mut key, name);
    key
}

/// Returns the key of several names.
pub(super) fn names(names: &[&str]) -> Vec<u8> {
    let mut key = Vec::new();
    for name in names {
        push_name(&mut key, name);
    }
    key
}

/// Returns the key of a watch: product, threshold, user.
pub(super) fn watch(product: &ProductId, threshold: Price, user: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(product.as_str().len() + 2 + PRICE + user.len());
    push_name(&mut key, product.as_str());
    push_tail(&mut key, threshold, user);
    key
}

fn push_tail(key: &mut Vec<u8>, threshold: Price, user: &str) {
    key.extend(threshold.sort_key());
    key.extend(user.as_bytes());
}

/// Returns the prefix of all watches of a product.
pub(super) fn product(product: &ProductId) -> Vec<u8> {
    name(product.as_str())
}

/// Splits what follows a product or a bucket in a key: threshold and user.
pub(super) fn split_tail(tail: &[u8]) -> Result<(&[u8; PRICE], &str), Broken> {
    let (price, user) =
        tail.split_first_chunk().ok_or_else(|| Broken("a watch's key is too short".into()))?;
    let user = std::str::from_utf8(user).map_err(|error| Broken(Cause::of(error)))?;
    Ok((price, user))
}

/// Splits a watch's key.
pub(super) fn split_watch(key: &[u8]) -> Result<(ProductId, Price, UserId), Broken> {
    let (product, tail) = take_name(key)?;
    let (price, user) = split_tail(tail)?;
    Ok((
        ProductId::new(&product).map_err(of_watch)?,
        Price::from_sort_key(*price).map_err(of_watch)?,
        UserId::new(user).map_err(of_watch)?,
    ))
}

fn of_watch(error: impl std::error::Error + Send + Sync + 'static) -> Broken {
    Broken(Cause::new("a watch's key", error))
}

/// Returns the key of a row of an index: the index's number, bucket, shard 0, threshold, user.
pub(super) fn indexed(index: u64, bucket: BucketId, threshold: Price, user: &str) -> Vec<u8> {
    let mut key = bucket_of(index, bucket);
    push_tail(&mut key, threshold, user);
    key
}

/// Returns the prefix of all rows of a bucket.
pub(super) fn bucket_of(index: u64, bucket: BucketId) -> Vec<u8> {
    let mut key = Vec::with_capacity(8 + 8 + 1 + PRICE + 32);
    key.extend(index.to_be_bytes());
    key.extend(((bucket.0 as u64) ^ (1 << 63)).to_be_bytes());
    key.push(0);
    key
}

/// Bytes before the threshold in the key of an index row.
pub(super) const BUCKET_PREFIX: usize = 8 + 8 + 1;

/// Returns the bucket in the key of an index row.
pub(super) fn bucket_in(key: &[u8]) -> Result<BucketId, Broken> {
    let bytes: [u8; 8] = key
        .get(8..16)
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| Broken("an index row's key is too short".into()))?;
    Ok(BucketId((u64::from_be_bytes(bytes) ^ (1 << 63)) as i64))
}

/// Returns the key of a state: partition, product, currency.
pub(super) fn state(key: &StateKey) -> Vec<u8> {
    let mut bytes = states_of(key.partition, &key.product);
    bytes.extend(key.currency.as_str().as_bytes());
    bytes
}

/// Returns the prefix of all states of a product in a partition.
pub(super) fn states_of(partition: Partition, product: &ProductId) -> Vec<u8> {
    let mut bytes = partition.0.to_be_bytes().to_vec();
    push_name(&mut bytes, product.as_str());
    bytes
}

/// Splits a state's key.
pub(super) fn split_state(key: &[u8]) -> Result<StateKey, Broken> {
    let (partition, rest) =
        key.split_first_chunk().ok_or_else(|| Broken("a state's key is too short".into()))?;
    let (product, currency) = take_name(rest)?;
    let currency = std::str::from_utf8(currency).map_err(|error| Broken(Cause::of(error)))?;
    Ok(StateKey {
        partition: Partition(i32::from_be_bytes(*partition)),
        product: ProductId::new(&product).map_err(|error| Broken(Cause::of(error)))?,
        currency: Currency::new(currency).map_err(|error| Broken(Cause::of(error)))?,
    })
}

/// Encodes a number, which must not be negative, so that it sorts numerically.
pub(super) fn number(number: i64) -> [u8; 8] {
    number.to_be_bytes()
}

/// Reads the number at the end of a key.
pub(super) fn split_number(key: &[u8]) -> Result<i64, Broken> {
    let bytes = key.last_chunk().ok_or_else(|| Broken("a number's key is too short".into()))?;
    Ok(i64::from_be_bytes(*bytes))
}

/// Returns the first key after all that start with `prefix`, or `None` if no key can come after
/// them.
pub(super) fn behind(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte != 255)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

/// Returns the first key after this one.
pub(super) fn next(mut key: Vec<u8>) -> Vec<u8> {
    key.push(0);
    key
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_by_name_then_price_then_user_and_lead_back() {
        let names = ["a", "a\u{0}", "a\u{0}b", "aa", "b", "é"];
        let mut keys = Vec::new();
        for name in names {
            for price in ["0", "9.99", "80", "9007199254740991"] {
                for user in ["u", "u1", "v"] {
                    let product = ProductId::new(name).unwrap();
                    let price = Price::parse(price).unwrap();
                    let key = watch(&product, price, user);
                    let user = UserId::new(user).unwrap();
                    assert_eq!(split_watch(&key).unwrap(), (product, price, user));
                    keys.push(key);
                }
            }
        }
        assert!(keys.is_sorted());
    }

    #[test]
    fn buckets_sort_through_zero() {
        let buckets = [i64::MIN, -5, -1, 0, 1, 7, i64::MAX].map(BucketId);
        let keys = buckets.map(|bucket| indexed(1, bucket, Price::ZERO, "u"));
        assert!(keys.is_sorted());
        assert_eq!(keys.map(|key| bucket_in(&key).unwrap()), buckets);
    }
}
