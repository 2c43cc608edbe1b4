//! The compacted topic of retries: what its records mean. It has the
//! partitions of the notifications; an entry lies in the partition that its
//! notification came from.
//!
//! | Key | Value |
//! |---|---|
//! | delivery key | the entry as JSON; none: confirmed or dead |
//! | `\0position` | the next offset of the notifications, as last committed, and who stored it |
//! | `\0marker` | a token and the group of whoever took over last |
//!
//! An entry with the header `pricedrop.replay` was written by somebody who may
//! not own the partition; its owner looks for those.

use pricedrop_model::Partition;
use pricedrop_model::dispatch::Retry;

use crate::client::raw::{Records, Value};
use crate::client::reserved_keys::{MARKER, POSITION, Position};

/// The header of an entry from elsewhere.
pub const REPLAY: &str = "pricedrop.replay";

/// What a record of the topic says.
#[derive(Debug)]
pub enum Entry {
    /// To be tried again.
    Waits(Box<Retry>),
    /// Confirmed or dead: its key.
    Done(String),
    /// Somebody of this group took over.
    Marker(u64, String),
    /// The next offset of the notifications.
    Position(Position),
    /// None of ours; why.
    Unreadable(String),
}

/// Appends an entry.
pub fn push(records: &mut Records, retry: &Retry) {
    records.push(retry.partition.0, retry.key.as_bytes(), |out| {
        out.extend(encode(retry));
        Value::Written
    });
}

/// Appends that an entry is done.
pub fn push_done(records: &mut Records, retry: &Retry) {
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

/// An entry as it is stored.
pub fn encode(retry: &Retry) -> Vec<u8> {
    serde_json::to_vec(retry).expect("an entry has only text keys")
}

/// Reads a record; the partition is where it lies, whatever it says.
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
