//! Why a credential was not applied.

use pricedrop_model::Cause;

use crate::secret;

/// What a request without its credential comes to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// It would not be the next time either.
    #[error(transparent)]
    Refused(Cause),
    /// Its secret is missing.
    #[error(transparent)]
    Secret(#[from] secret::Error),
    /// Its key or its token cannot be had now.
    #[error(transparent)]
    Unavailable(Cause),
}
