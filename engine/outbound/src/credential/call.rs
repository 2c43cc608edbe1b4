//! The request that a credential signs or is added to.

use reqwest::{Method, Url};
use tokio::time::Instant;

use crate::clients::Clients;
use crate::hosts::Hosts;
use crate::secret::Secrets;

/// The request that a credential is applied to, with what issuing a token needs. `key` is the
/// idempotency key, `epoch_s` the wall time in seconds; the deadline includes a token request.
pub(crate) struct Call<'a> {
    pub(crate) secrets: &'a Secrets,
    pub(crate) clients: &'a Clients,
    pub(crate) hosts: &'a Hosts,
    pub(crate) method: Method,
    pub(crate) url: &'a Url,
    pub(crate) body: &'a [u8],
    pub(crate) key: &'a str,
    pub(crate) epoch_s: u64,
    pub(crate) deadline: Instant,
}
