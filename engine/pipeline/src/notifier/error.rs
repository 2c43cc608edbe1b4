//! Why a cycle failed, and why the notifier stopped.

use pricedrop_model::Cause;
use pricedrop_model::ports::{CommitError, Error};

/// Why the notifier stopped.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// Somebody has to look at the store.
    #[error(transparent)]
    Fatal(Cause),
}

/// Why a cycle failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Nothing happened: again, after a pause.
    #[error(transparent)]
    Again(Cause),
    /// Something may have happened: restore, then go on.
    #[error(transparent)]
    Restore(Cause),
    /// Partitions came or went: restore at once.
    #[error(transparent)]
    Rebalanced(Cause),
    /// The work belongs to somebody else: most likely partitions went.
    #[error(transparent)]
    Fenced(Cause),
    /// Stop.
    #[error(transparent)]
    Stop(Stop),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        match error {
            Error::Unavailable(why) => Failure::Again(why),
            Error::Fatal(why) => Failure::Stop(Stop::Fatal(why)),
            Error::Rebalanced(why) => Failure::Rebalanced(why),
        }
    }
}

impl From<CommitError> for Failure {
    fn from(error: CommitError) -> Failure {
        match error {
            CommitError::NotCommitted(_) => Failure::Again(Cause::of(error)),
            CommitError::Unknown(_) => Failure::Restore(Cause::of(error)),
            CommitError::Fenced(_) => Failure::Fenced(Cause::of(error)),
        }
    }
}
