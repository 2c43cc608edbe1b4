//! Why a cycle failed, and why the notifier stopped.

use pricedrop_model::ports::{CommitError, Error};

/// Why the notifier stopped.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// Somebody has to look at the store.
    #[error("{0}")]
    Broken(String),
}

/// Why a cycle failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Nothing happened: again, after a pause.
    #[error("{0}")]
    Again(String),
    /// Something may have happened: restore, then go on.
    #[error("{0}")]
    Restore(String),
    /// Partitions came or went: restore at once.
    #[error("{0}")]
    Moved(String),
    /// The work belongs to somebody else: most likely partitions went.
    #[error("{0}")]
    Fenced(String),
    /// Stop.
    #[error(transparent)]
    Stop(Stop),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        match error {
            Error::Unavailable(why) => Failure::Again(why),
            Error::Broken(why) => Failure::Stop(Stop::Broken(why)),
            Error::Moved(why) => Failure::Moved(why),
        }
    }
}

impl From<CommitError> for Failure {
    fn from(error: CommitError) -> Failure {
        match error {
            CommitError::Nothing(_) => Failure::Again(error.to_string()),
            CommitError::Unknown(_) => Failure::Restore(error.to_string()),
            CommitError::Fenced(_) => Failure::Fenced(error.to_string()),
        }
    }
}
