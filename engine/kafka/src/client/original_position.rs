//! The header that stores the original position of a record that was published again.

use std::ffi::CStr;

use pricedrop_model::{Partition, Position};

/// The header that holds the first position of a record: `partition/offset`.
pub(crate) const ORIGINAL_POSITION: &str = "pricedrop.position";
/// The same name for librdkafka.
pub(crate) const ORIGINAL_POSITION_C: &CStr = c"pricedrop.position";

/// Parses the value of the header. `None` means it is not a partition and an offset of 0 or more.
pub(crate) fn parse_position(text: &str) -> Option<Position> {
    let (partition, offset) = text.split_once('/')?;
    let partition = Partition(partition.parse().ok()?);
    let position = Position { partition, offset: offset.parse().ok()? };
    (position.partition.0 >= 0 && position.offset >= 0).then_some(position)
}
