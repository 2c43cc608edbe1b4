//! The compacted topic of retries: the format of its records. It has as many partitions as the
//! topic of notifications; a retry is in the partition of its notification.
//!
//! | Key | Value |
//! |---|---|
//! | delivery key | the retry as JSON; no value means confirmed or dead |
//! | `\0position` | the next offset of the notifications, as last committed, and who stored it |
//! | `\0marker` | the token and the group of the dispatcher that acquired the partition last |
//!
//! A retry with the header `pricedrop.replay` was written by an instance that may not own the
//! partition. The owner looks for such retries.

use pricedrop_model::Partition;
use pricedrop_model::dispatch::Retry;

use crate::client::raw::{Records, Value};
use crate::client::reserved_keys::{MARKER, POSITION, Position};

/// The header of a retry that an operator requested. Any instance may write such a retry, not only
/// the owner of its partition.
pub const REPLAY: &str = "pricedrop.replay";

/// The content of a record of the topic.
#[derive(Debug)]
pub enum Entry {
    /// A retry.
    Waits(Box<Retry>),
    /// The key of a delivery that is confirmed or dead.
    Done(String),
    /// The token and the group of a dispatcher that acquired the partition.
    Marker(u64, String),
    /// The next offset of the notifications.
    Position(Position),
    /// The record has another format; why.
    Unreadable(String),
}

/// Appends a retry.
pub fn push(records: &mut Records, retry: &Retry) {
    records.push(retry.partition.0, retry.key.as_bytes(), |out| {
        out.extend(encode(retry));
        Value::Written
    });
}

/// Appends the tombstone of a retry that ended.
pub fn push_tombstone(records: &mut Records, retry: &Retry) {
    records.push(retry.partition.0, retry.key.as_bytes(), |_| Value::Tombstone);
}

/// Appends a marker.
pub fn push_marker(records: &mut Records, partition: Partition, token: u64, group: &str) {
    records.push(partition.0, MARKER, |out| {
        out.extend(token.to_be_bytes());
        out.extend(group.as_bytes());
        Value::Written
    });
}

/// Encodes a retry.
pub fn encode(retry: &Retry) -> Vec<u8> {
    serde_json::to_vec(retry).expect("an entry has only text keys")
}

/// Parses a record. A retry is given the partition it was read from.
pub fn read(partition: Partition, key: Option<&[u8]>, value: Option<&[u8]>) -> Entry {
    let Some(key) = key else { return Entry::Unreadable("a record without a key".into()) };
    match value {
        Some(value) if key == MARKER => match value.split_first_chunk() {
            Some((token, group)) => {
                Entry::Marker(u64::from_be_bytes(*token), String::from_utf8_lossy(group).into_owned())
            }
            None => Entry::Unreadable("a marker without a token".into()),
        },
        Some(value) if key == POSITION => match Position::read(Some(value)) {
            Some(position) => Entry::Position(position),
            None => Entry::Unreadable("a position without an offset".into()),
        },
        Some(value) => match serde_json::from_slice::<Retry>(value) {
            Ok(retry) => Entry::Waits(Box::new(Retry { partition, ..retry })),
            Err(error) => Entry::Unreadable(error.to_string()),
        },
        None => match std::str::from_utf8(key) {
            Ok(key) => Entry::Done(key.to_owned()),
            Err(error) => Entry::Unreadable(error.to_string()),
        },
    }
}
