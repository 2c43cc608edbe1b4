//! The compacted topic of product states: the format of its records.
//!
//! | Key | Value |
//! |---|---|
//! | currency (3 bytes), product | the state; no value means the state was deleted |
//! | `\0position` | the next offset of the input, as last committed, and who stored it |
//! | `\0marker` | a token, of the worker that acquired the partition last |
//! | `\0partitions` | how many partitions the input had when its first products were stored |
//! | `\0accepted` | an offset that an operator accepted as the next |
//!
//! Numbers are big-endian. A currency is three capital letters, so the key of a state never begins
//! with a zero byte.

use pricedrop_model::ports::Error;
use pricedrop_model::{Currency, Partition, ProductId, StateKey};

use crate::client::marker_reader::LogRecord;
use crate::client::reserved_keys::{MARKER, POSITION, Position};

/// The reserved key of the partition count.
pub const PARTITIONS: &[u8] = b"\0partitions";
/// The reserved key of an accepted offset.
pub const ACCEPTED: &[u8] = b"\0accepted";

/// The content of a record of the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A state. `None` means it was deleted.
    State(StateKey, Option<&'a [u8]>),
    /// The next offset of the input, and the producer that stored it.
    Position(Position),
    /// The token of a worker that acquired the partition.
    Marker(u64),
    /// The partition count of the input.
    Partitions(u32),
    /// The offset that an operator accepted. `None` means it was stored as the position since.
    Accepted(Option<i64>),
}

/// Appends the key of a state.
pub fn write_key(out: &mut Vec<u8>, currency: Currency, product: &ProductId) {
    out.extend_from_slice(currency.as_str().as_bytes());
    out.extend_from_slice(product.as_str().as_bytes());
}

/// Parses a record of this topic.
///
/// # Errors
/// `Fatal`: the record has another format.
pub fn read_line<'l>(topic: &str, line: &LogRecord<'l>) -> Result<Entry<'l>, Error> {
    read(line.partition, line.key, line.value).map_err(|why| {
        Error::Fatal(
            format!(
                "{topic}[{}] holds {why} at offset {}: is it really the topic of product states?",
                line.partition.0, line.offset
            )
            .into(),
        )
    })
}

/// Parses a record.
///
/// # Errors
/// The record has another format. Returns a description of it.
fn read<'a>(partition: Partition, key: Option<&[u8]>, value: Option<&'a [u8]>) -> Result<Entry<'a>, String> {
    let key = key.ok_or("a record without a key")?;
    let offset = || number(value, "an offset").map(i64::from_be_bytes);
    match key {
        POSITION => Position::read(value).map(Entry::Position).ok_or("a position without an offset".into()),
        ACCEPTED if value.is_none() => Ok(Entry::Accepted(None)),
        ACCEPTED => Ok(Entry::Accepted(Some(offset()?))),
        MARKER => Ok(Entry::Marker(number(value, "a marker").map(u64::from_be_bytes)?)),
        PARTITIONS => Ok(Entry::Partitions(number(value, "a count").map(u32::from_be_bytes)?)),
        _ => Ok(Entry::State(read_key(partition, key)?, value)),
    }
}

fn number<const N: usize>(value: Option<&[u8]>, what: &str) -> Result<[u8; N], String> {
    value.and_then(|value| value.try_into().ok()).ok_or_else(|| format!("{what} of another length"))
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
    fn only_valid_entries_are_read_and_each_as_it_was_written() {
        let product = ProductId::new("p\u{0}1").unwrap();
        let mut key = Vec::new();
        write_key(&mut key, Currency::USD, &product);
        let at = Partition(3);
        let state = StateKey { partition: at, product, currency: Currency::USD };
        assert_eq!(read(at, Some(&key), Some(b"x")), Ok(Entry::State(state.clone(), Some(b"x"))));
        assert_eq!(read(at, Some(&key), None), Ok(Entry::State(state, None)));
        assert_eq!(read(at, Some(MARKER), Some(&7u64.to_be_bytes())), Ok(Entry::Marker(7)));
        assert_eq!(read(at, Some(PARTITIONS), Some(&7u32.to_be_bytes())), Ok(Entry::Partitions(7)));
        let position = Position { next: 7, by: "group-1".into() };
        let value = [&7i64.to_be_bytes()[..], b"group-1"].concat();
        assert_eq!(read(at, Some(POSITION), Some(&value)), Ok(Entry::Position(position)));
        assert_eq!(read(at, Some(ACCEPTED), Some(&7i64.to_be_bytes())), Ok(Entry::Accepted(Some(7))));
        assert_eq!(read(at, Some(ACCEPTED), None), Ok(Entry::Accepted(None)));
        for key in [&b"US"[..], b"usdP", b"USD", b"\0other"] {
            assert!(read(at, Some(key), Some(b"x")).is_err());
        }
        assert!(read(at, None, Some(b"x")).is_err());
        assert!(read(at, Some(POSITION), Some(b"x")).is_err());
    }
}
