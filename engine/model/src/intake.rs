//! The port through which the HTTP API writes prices into the input.

use async_trait::async_trait;
use bytes::Bytes;

use crate::Position;
use crate::ports::Outcome;

/// A record to append to the input. One without a value is a tombstone of the product that its key
/// names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewRecord {
    /// The key; the product id of a tombstone.
    pub key: Option<Bytes>,
    /// The update, unparsed.
    pub value: Option<Bytes>,
}

/// What happened to a posted record. In every case the record is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Posted {
    /// This engine decided it, with this outcome.
    Decided(Position, Outcome),
    /// It was already in the input: from an earlier post of the same records, or from a commit
    /// whose outcome was unknown at first.
    Already(Position),
    /// It is in the input. The notifier that owns its partition will decide it.
    Queued(Position),
}

impl Posted {
    /// Returns its position in the input.
    pub fn position(&self) -> Position {
        match self {
            Posted::Decided(position, _) | Posted::Already(position) | Posted::Queued(position) => *position,
        }
    }
}

/// Why a post failed, and whether its records may be in the input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IntakeError {
    /// Nothing was taken: the given offset is past the end of the input.
    #[error("the input continues at offset {next}; records before this request are missing")]
    Gap {
        /// The next offset of the input.
        next: i64,
    },
    /// Nothing was taken: post again later.
    #[error("{0}")]
    NotTaken(String),
    /// The outcome is unknown: post again with the offset of the first record, and none is taken
    /// twice.
    #[error("{0}")]
    Unknown(String),
    /// Some records may have been taken: post again. Nobody is notified twice if the updates have
    /// sequences, or if no other price of the product came in between.
    #[error("{0}")]
    Partly(String),
    /// Nothing was taken: this input does not accept posts with an offset.
    #[error("{0}")]
    NoOffset(String),
}

/// The input, as the HTTP API sees it.
#[async_trait]
pub trait PriceIntake: Send + Sync {
    /// Appends records in order, and answers for each of them, in order, when all are durable. If
    /// this engine is the one that decides them, it answers with their outcomes. With an offset,
    /// records before the end of the input count as taken already, so a repeated post takes nothing
    /// twice.
    ///
    /// # Errors
    /// The variant says whether records were taken, and whether posting again can help.
    async fn post(&self, records: Vec<NewRecord>, offset: Option<i64>) -> Result<Vec<Posted>, IntakeError>;
}
