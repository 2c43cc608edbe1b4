//! The compacted topic of product states: what its records mean.
//!
//! | Key | Value |
//! |---|---|
//! | currency (3 bytes), product | the state; none: forgotten |
//! | `\0position` | the next offset of the input, as last committed |
//! | `\0marker` | a token and how many partitions the input has, by whoever took over last |
//! | `\0accepted` | an offset that a person accepted as the next |
//!
//! Numbers are big-endian. A currency is three capital letters, so no state's
//! key begins with a zero byte.

use pricedrop_model::{Currency, Partition, ProductId, StateKey};

/// The reserved key of the position.
pub const POSITION: &[u8] = b"\0position";
/// The reserved key of the marker.
pub const MARKER: &[u8] = b"\0marker";
/// The reserved key of an accepted offset.
pub const ACCEPTED: &[u8] = b"\0accepted";

/// What a record of the topic says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A state; none: forgotten.
    State(StateKey, Option<&'a [u8]>),
    /// The next offset of the input.
    Position(i64),
    /// Somebody took over.
    Marker(Marker),
    /// A person accepted this offset; none: it was made the position.
    Accepted(Option<i64>),
}

/// A take-over, as it is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marker {
    /// Random: whose it is.
    pub token: u64,
    /// How many partitions the input had.
    pub partitions: u32,
}

impl Marker {
    /// As it is stored.
    pub fn encode(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&self.token.to_be_bytes());
        bytes[8..].copy_from_slice(&self.partitions.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Marker> {
        let (token, partitions) = bytes.split_first_chunk()?;
        let partitions = u32::from_be_bytes(partitions.try_into().ok()?);
        Some(Marker { token: u64::from_be_bytes(*token), partitions })
    }
}

/// Appends the key of a state.
pub fn write_key(out: &mut Vec<u8>, currency: Currency, product: &ProductId) {
    out.extend_from_slice(currency.as_str().as_bytes());
    out.extend_from_slice(product.as_str().as_bytes());
}

/// Reads a record.
///
/// # Errors
/// It is none of ours: in words.
pub fn read<'a>(
    partition: Partition,
    key: Option<&[u8]>,
    value: Option<&'a [u8]>,
) -> Result<Entry<'a>, String> {
    let key = key.ok_or("a record without a key")?;
    let offset = || {
        let bytes = value.and_then(|value| value.try_into().ok()).ok_or("an offset of another length")?;
        Ok::<i64, String>(i64::from_be_bytes(bytes))
    };
    match key {
        POSITION => Ok(Entry::Position(offset()?)),
        ACCEPTED if value.is_none() => Ok(Entry::Accepted(None)),
        ACCEPTED => Ok(Entry::Accepted(Some(offset()?))),
        MARKER => {
            let marker = value.and_then(Marker::decode).ok_or("a marker of another length")?;
            Ok(Entry::Marker(marker))
        }
        _ => Ok(Entry::State(read_key(partition, key)?, value)),
    }
}

fn read_key(partition: Partition, key: &[u8]) -> Result<StateKey, String> {
    let unknown = || format!("a record with the key {:?}", String::from_utf8_lossy(key));
    let (currency, product) = key.split_at_checked(3).ok_or_else(unknown)?;
    let text = |bytes| std::str::from_utf8(bytes).ok();
    let currency = text(currency).and_then(|text| Currency::new(text).ok()).ok_or_else(unknown)?;
    let product = text(product).and_then(|text| ProductId::new(text).ok()).ok_or_else(unknown)?;
    Ok(StateKey { partition, product, currency })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else_is() {
        let product = ProductId::new("p\u{0}1").unwrap();
        let mut key = Vec::new();
        write_key(&mut key, Currency::USD, &product);
        let at = Partition(3);
        let state = StateKey { partition: at, product, currency: Currency::USD };
        assert_eq!(read(at, Some(&key), Some(b"x")), Ok(Entry::State(state.clone(), Some(b"x"))));
        assert_eq!(read(at, Some(&key), None), Ok(Entry::State(state, None)));
        let marker = Marker { token: u64::MAX - 1, partitions: 12 };
        assert_eq!(read(at, Some(MARKER), Some(&marker.encode())), Ok(Entry::Marker(marker)));
        assert_eq!(read(at, Some(POSITION), Some(&7i64.to_be_bytes())), Ok(Entry::Position(7)));
        assert_eq!(read(at, Some(ACCEPTED), Some(&7i64.to_be_bytes())), Ok(Entry::Accepted(Some(7))));
        assert_eq!(read(at, Some(ACCEPTED), None), Ok(Entry::Accepted(None)));
        for key in [&b"US"[..], b"usdP", b"USD", b"\0other"] {
            assert!(read(at, Some(key), Some(b"x")).is_err());
        }
        assert!(read(at, None, Some(b"x")).is_err());
        assert!(read(at, Some(POSITION), Some(b"x")).is_err());
    }
}
