//! Why a credential was not applied.

use crate::secret;

/// What a request without its credential comes to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// It would not be the next time either.
    #[error("{0}")]
    Refused(String),
    /// Its secret is missing.
    #[error("{0}")]
    Secret(#[from] secret::Error),
    /// Its key or its token cannot be had now.
    #[error("{0}")]
    Unavailable(String),
}
