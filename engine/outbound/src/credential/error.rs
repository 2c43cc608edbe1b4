//! Errors of applying a credential.

use pricedrop_model::Cause;

use crate::secret;

/// Why a credential was not applied. The request is then not sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The credential may not be used for this request: a retry would fail too.
    #[error(transparent)]
    Refused(Cause),
    /// The secret cannot be read: retry.
    #[error(transparent)]
    Secret(#[from] secret::Error),
    /// The key is unusable, or no token can be obtained: retry.
    #[error(transparent)]
    Unavailable(Cause),
}
