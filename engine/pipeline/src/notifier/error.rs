//! Why a cycle failed, and why the notifier stopped. Each variant says how to recover.

use pricedrop_model::Cause;
use pricedrop_model::ports::{CommitError, Error};

/// Why the notifier stopped.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// A store failed in a way that an operator has to fix.
    #[error(transparent)]
    Fatal(Cause),
}

/// Why a cycle failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Nothing was committed: try again after a pause.
    #[error(transparent)]
    Retry(Cause),
    /// The outcome of a commit is unknown: restore after a pause.
    #[error(transparent)]
    Restore(Cause),
    /// Partitions were assigned or revoked: restore at once.
    #[error(transparent)]
    Rebalanced(Cause),
    /// A commit was fenced, most likely because another worker owns a partition now. Restore at once;
    /// the second time without a commit in between, after a pause.
    #[error(transparent)]
    Fenced(Cause),
    /// The notifier has to stop.
    #[error(transparent)]
    Stop(Stop),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        match error {
            Error::Unavailable(why) => Failure::Retry(why),
            Error::Fatal(why) => Failure::Stop(Stop::Fatal(why)),
            Error::Rebalanced(why) => Failure::Rebalanced(why),
        }
    }
}

impl From<CommitError> for Failure {
    fn from(error: CommitError) -> Failure {
        match error {
            CommitError::NotCommitted(_) => Failure::Retry(Cause::of(error)),
            CommitError::Unknown(_) => Failure::Restore(Cause::of(error)),
            CommitError::Fenced(_) => Failure::Fenced(Cause::of(error)),
        }
    }
}
