//! Errors of the Cassandra adapters, and what the driver's errors mean for a caller.

use pricedrop_model::{Cause, ports};
use scylla::errors::{DbError, ExecutionError, PrepareError, RequestAttemptError};

/// Why the adapters do not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Cassandra does not answer. Start it or correct the contact points, then try again.
    #[error("Cassandra at {contact_points} does not answer: {reason}")]
    Unreachable {
        /// The addresses that were tried.
        contact_points: String,
        /// The driver's error.
        #[source]
        reason: Cause,
    },
    /// The configuration is wrong. Correct it.
    #[error(transparent)]
    Configuration(Cause),
    /// A table is missing or has another shape. Create or correct it.
    #[error(transparent)]
    Schema(Cause),
    /// The user lacks a right. Grant it, or run the command as a user who has it.
    #[error(transparent)]
    Forbidden(Cause),
    /// Try again.
    #[error(transparent)]
    Unavailable(Cause),
}

impl From<Error> for ports::Error {
    fn from(error: Error) -> ports::Error {
        match error {
            Error::Unreachable { .. } => ports::Error::Unavailable(Cause::of(error)),
            Error::Unavailable(cause) => ports::Error::Unavailable(cause),
            Error::Configuration(cause) | Error::Schema(cause) | Error::Forbidden(cause) => {
                ports::Error::Fatal(cause)
            }
        }
    }
}

impl From<ports::Error> for Error {
    fn from(error: ports::Error) -> Error {
        match error {
            ports::Error::Unavailable(cause) | ports::Error::Rebalanced(cause) => Error::Unavailable(cause),
            ports::Error::Fatal(cause) => Error::Schema(cause),
        }
    }
}

/// Returns whether the same request may succeed later.
pub(super) fn may_pass(error: &ExecutionError) -> bool {
    match error {
        ExecutionError::BadQuery(_) => false,
        ExecutionError::PrepareError(PrepareError::AllAttemptsFailed { first_attempt }) => {
            attempt_may_pass(first_attempt)
        }
        ExecutionError::LastAttemptError(error) => attempt_may_pass(error),
        _ => true,
    }
}

fn attempt_may_pass(error: &RequestAttemptError) -> bool {
    !matches!(
        error,
        RequestAttemptError::SerializationError(_)
            | RequestAttemptError::CqlRequestSerialization(_)
            | RequestAttemptError::DbError(
                DbError::SyntaxError
                    | DbError::Invalid
                    | DbError::Unauthorized
                    | DbError::AuthenticationError
                    | DbError::ConfigError,
                _
            )
    )
}

/// Translates the final error of a request on a table into what its caller can do.
pub(super) fn explain(table: &str, error: ExecutionError) -> ports::Error {
    if may_pass(&error) {
        return ports::Error::Unavailable(Cause::new(format!("Cassandra, table {table}"), error));
    }
    let text = match database_error(&error) {
        Some((DbError::Unauthorized, said)) => {
            format!(
                "Cassandra refuses this user the table {table}: {said}; grant what docs/operations.md lists"
            )
        }
        Some((_, said)) => format!(
            "Cassandra refuses a statement on the table {table}: {said}; `pricedrop schema check` compares its columns"
        ),
        None => format!("a statement on the table {table} does not fit its columns: {error}"),
    };
    ports::Error::Fatal(Cause::quoting(text, error))
}

/// Returns the error that the database itself reported, and its message.
pub(super) fn database_error(error: &ExecutionError) -> Option<(&DbError, &str)> {
    let attempt = match error {
        ExecutionError::LastAttemptError(attempt) => attempt,
        ExecutionError::PrepareError(PrepareError::AllAttemptsFailed { first_attempt }) => first_attempt,
        _ => return None,
    };
    match attempt {
        RequestAttemptError::DbError(error, said) => Some((error, said)),
        _ => None,
    }
}

/// Returns the error for an answer that does not have the columns expected of the table.
pub(super) fn misfit<E>(table: &str) -> impl FnOnce(E) -> ports::Error
where
    E: std::error::Error + Send + Sync + 'static,
{
    move |error| {
        let what = format!("what the table {table} answered does not fit its columns");
        ports::Error::Fatal(Cause::new(what, error))
    }
}
