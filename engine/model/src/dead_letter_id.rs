//! The id of a dead letter: its position, written `topic/partition/offset`.
//!
//! A log never uses a position twice, so an id that was removed never names another dead letter.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Partition;
use crate::limits::TOPIC_BYTES;

/// The id of a dead letter, written `topic/partition/offset`, such as
/// `price_updates.dlq/3/1881`.
///
/// Ids are ordered by topic, then partition, then offset. Lists are in this order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeadLetterId {
    /// The topic's name in this deployment. Kafka allows 1 to 249 ASCII letters, digits,
    /// `.`, `_` and `-`.
    pub topic: Arc<str>,
    /// The partition of the topic, from 0.
    pub partition: Partition,
    /// The offset in the partition, from 0.
    pub offset: i64,
}

/// Why a text is not the id of a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}; the id of a dead letter is topic/partition/offset, such as price_updates.dlq/3/1881")]
pub struct DeadLetterIdError(IdMistake);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum IdMistake {
    #[error("it has {0} of 3 parts")]
    TooFewParts(usize),
    #[error("it has more than 3 parts")]
    TooManyParts,
    #[error("`{0}` is not the name of a topic")]
    Topic(String),
    #[error("the partition `{0}` is not a whole number from 0 to {max}", max = i32::MAX)]
    Partition(String),
    #[error("the offset `{0}` is not a whole number from 0 to {max}", max = i64::MAX)]
    Offset(String),
}

impl fmt::Display for DeadLetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DeadLetterId { topic, partition: Partition(partition), offset } = self;
        write!(f, "{topic}/{partition}/{offset}")
    }
}

impl FromStr for DeadLetterId {
    type Err = DeadLetterIdError;

    fn from_str(text: &str) -> Result<DeadLetterId, DeadLetterIdError> {
        parse_id(text).map_err(DeadLetterIdError)
    }
}

fn parse_id(text: &str) -> Result<DeadLetterId, IdMistake> {
    let parts: Vec<&str> = text.splitn(4, '/').collect();
    let [topic, partition, offset] = *parts else {
        return Err(if parts.len() > 3 {
            IdMistake::TooManyParts
        } else {
            IdMistake::TooFewParts(parts.len())
        });
    };
    if !is_topic(topic) {
        return Err(IdMistake::Topic(topic.to_owned()));
    }
    Ok(DeadLetterId {
        topic: topic.into(),
        partition: Partition(parse_number(partition).ok_or(IdMistake::Partition(partition.to_owned()))?),
        offset: parse_number(offset).ok_or(IdMistake::Offset(offset.to_owned()))?,
    })
}

fn is_topic(name: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=TOPIC_BYTES).contains(&name.len()) && name.bytes().all(is_legal)
}

/// Reads a number from 0, without a sign or leading zeros, so that each dead letter has one id
/// only.
fn parse_number<N: FromStr>(text: &str) -> Option<N> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain)
}

impl Serialize for DeadLetterId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DeadLetterId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<DeadLetterId, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
