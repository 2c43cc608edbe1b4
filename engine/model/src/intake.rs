//! Where prices come in, as a producer over HTTP reaches it.

use async_trait::async_trait;
use bytes::Bytes;

use crate::Position;
use crate::ports::Outcome;

/// A record on its way into the input. Without a value it is a tombstone of the product
/// that is its key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewRecord {
    /// The product of a tombstone.
    pub key: Option<Bytes>,
    /// The update, as it was posted.
    pub value: Option<Bytes>,
}

/// What became of a posted record. Whatever it says, the record is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Posted {
    /// It was decided now.
    Decided(Position, Outcome),
    /// It was taken before: by an earlier post of the same records, or in a commit whose
    /// outcome was not known at first.
    Already(Position),
    /// It is in the input, and the owner of its partition decides.
    Queued(Position),
}

impl Posted {
    /// Its position in the input.
    pub fn position(&self) -> Position {
        match self {
            Posted::Decided(position, _) | Posted::Already(position) | Posted::Queued(position) => *position,
        }
    }
}

/// Why a post has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IntakeError {
    /// Nothing was taken: the offset asked for is past the end of the input.
    #[error("the input goes on at offset {next}; records before this post are missing")]
    Gap {
        /// The offset of the next record.
        next: i64,
    },
    /// Nothing was taken: post again later.
    #[error("{0}")]
    NotTaken(String),
    /// They may have been taken: post again with the offset of the first, and none is
    /// taken twice.
    #[error("{0}")]
    Unknown(String),
    /// Some may have been taken: post again. With a sequence, or while no other price
    /// came in between, nobody is told twice.
    #[error("{0}")]
    Partly(String),
    /// Nothing was taken: this input has no offset to post from.
    #[error("{0}")]
    NoOffset(String),
}

/// The input, as a producer over HTTP sees it.
#[async_trait]
pub trait PriceIntake: Send + Sync {
    /// Takes records in order and answers for each of them, in order, once all are
    /// durable; decided as well if this engine is the one to decide. With an offset,
    /// records before the input's end were taken earlier and are only counted, so a
    /// producer that repeats a post repeats nothing.
    ///
    /// # Errors
    /// Says whether posting again can help.
    async fn post(&self, records: Vec<NewRecord>, offset: Option<i64>) -> Result<Vec<Posted>, IntakeError>;
}
