//! Why Cassandra did not do as asked, in our words.

use pricedrop_model::ports;
use scylla::errors::{DbError, ExecutionError, PrepareError, RequestAttemptError};

/// Why the adapters do not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Start Cassandra, or mend the contact points; then try again.
    #[error("Cassandra at {contact_points} does not answer: {reason}")]
    Unreachable {
        /// Where it was looked for.
        contact_points: String,
        /// What the driver said.
        reason: String,
    },
    /// Mend what is configured.
    #[error("{0}")]
    Configuration(String),
    /// Make or mend the tables.
    #[error("{0}")]
    Schema(String),
    /// Grant the right, or let somebody else do it who has it.
    #[error("{0}")]
    Forbidden(String),
    /// Try again.
    #[error("{0}")]
    Unavailable(String),
}

impl From<Error> for ports::Error {
    fn from(error: Error) -> ports::Error {
        match error {
            Error::Unreachable { .. } | Error::Unavailable(_) => ports::Error::Unavailable(error.to_string()),
            Error::Configuration(_) | Error::Schema(_) | Error::Forbidden(_) => {
                ports::Error::Broken(error.to_string())
            }
        }
    }
}

impl From<ports::Error> for Error {
    fn from(error: ports::Error) -> Error {
        match error {
            ports::Error::Unavailable(reason) | ports::Error::Moved(reason) => Error::Unavailable(reason),
            ports::Error::Broken(reason) => Error::Schema(reason),
        }
    }
}

/// Whether a request that failed so may succeed unchanged.
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

/// The words for a request on a table that failed for good.
pub(super) fn explain(table: &str, error: &ExecutionError) -> ports::Error {
    if may_pass(error) {
        return ports::Error::Unavailable(format!("Cassandra, table {table}: {error}"));
    }
    ports::Error::Broken(match database_error(error) {
        Some((DbError::Unauthorized, said)) => {
            format!(
                "Cassandra refuses this user the table {table}: {said}; grant what docs/operations.md lists"
            )
        }
        Some((_, said)) => format!(
            "Cassandra refuses a statement on the table {table}: {said}; `pricedrop schema check` compares its columns"
        ),
        None => format!("a statement on the table {table} does not fit its columns: {error}"),
    })
}

/// What the database itself said.
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

/// Bytes from the table that do not fit its columns.
pub(super) fn misfit(table: &str, error: impl std::fmt::Display) -> ports::Error {
    ports::Error::Broken(format!("what the table {table} answered does not fit its columns: {error}"))
}
