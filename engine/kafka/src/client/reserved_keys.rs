//! Records with reserved keys, in topics that also hold other records. No other key in those topics
//! begins with a zero byte.

use pricedrop_model::Partition;

use crate::client::raw::{Records, Value};

/// The key of markers. In the topic of an owner a marker carries a token. In any other topic it has
/// no value and no meaning.
pub const MARKER: &[u8] = b"\0marker";

/// The key of positions.
pub const POSITION: &[u8] = b"\0position";

/// The next offset to read, as it was committed last. The value of the record is the offset, eight
/// bytes big-endian, then the transactional id of the producer that stored it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The next offset to read.
    pub next: i64,
    /// The transactional id of the producer that stored it.
    pub by: String,
}

impl Position {
    /// Appends a record with the position.
    pub fn push(records: &mut Records, partition: Partition, next: i64, by: &str) {
        records.push(partition.0, POSITION, |out| {
            out.extend(next.to_be_bytes());
            out.extend(by.as_bytes());
            Value::Written
        });
    }

    /// Parses the value of a position. `None` means it is shorter than an offset.
    pub fn read(value: Option<&[u8]>) -> Option<Position> {
        let (next, by) = value?.split_first_chunk()?;
        Some(Position { next: i64::from_be_bytes(*next), by: String::from_utf8_lossy(by).into_owned() })
    }
}

/// Returns whether this record is a marker without a meaning.
pub fn is_empty_marker(key: Option<&[u8]>, value: Option<&[u8]>) -> bool {
    key == Some(MARKER) && value.is_none()
}
