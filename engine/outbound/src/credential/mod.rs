//! Credentials of channels: signatures and tokens that the host adds to a rendered request.
//! Invariant: a plugin never sees a secret. The sidecar of a channel names an environment variable
//! or a file, [`crate::secret`] reads it when a request needs it, and [`Bound`] adds it for listed
//! hosts only.
//!
//!
//! ```text
//! Call ─▶ Bound ─┬▶ bearer, basic, hmac
//!                ├▶ webhooks · sigv4 · vapid   (signed for this request)
//!                └▶ cache ◀── oauth · jwt      (tokens, used until they expire)
//! ```

mod bound;
mod cache;
mod call;
mod check;
mod error;
pub(crate) mod jwt;
mod oauth;
mod sigv4;
mod vapid;
mod webhooks;

pub(crate) use bound::Bound;
pub(crate) use call::Call;
pub(crate) use check::secrets;
pub(crate) use error::Error;
