//! Records with a reserved key, in topics that hold other records too. No other key there
//! begins with a zero byte.

use pricedrop_model::Partition;

use crate::client::raw::{Records, Value};

/// The key of markers. In a worker's own topic a marker carries a token; in any other topic
/// it has no value and means nothing.
pub const MARKER: &[u8] = b"\0marker";

/// The key of positions.
pub const POSITION: &[u8] = b"\0position";

/// The next offset of the input, as it was committed last. Its value is the offset, eight
/// bytes big-endian, and the transactional id of the producer that stored it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The next offset of the input.
    pub next: i64,
    /// The transactional id of the producer that stored it.
    pub by: String,
}

impl Position {
    /// Appends the position that a producer stores.
    pub fn push(records: &mut Records, partition: Partition, next: i64, by: &str) {
        records.push(partition.0, POSITION, |out| {
            out.extend(next.to_be_bytes());
            out.extend(by.as_bytes());
            Value::Written
        });
    }

    /// Reads the value of a position; none: it is shorter than an offset.
    pub fn read(value: Option<&[u8]>) -> Option<Position> {
        let (next, by) = value?.split_first_chunk()?;
        Some(Position { next: i64::from_be_bytes(*next), by: String::from_utf8_lossy(by).into_owned() })
    }
}

/// Whether this record is a marker that means nothing.
pub fn is_empty_marker(key: Option<&[u8]>, value: Option<&[u8]>) -> bool {
    key == Some(MARKER) && value.is_none()
}
