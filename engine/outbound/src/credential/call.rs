//! What a credential is applied to.

use reqwest::{Method, Url};
use tokio::time::Instant;

use crate::clients::Clients;
use crate::hosts::Hosts;
use crate::secret::Secrets;

/// The request that a credential is applied to.
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
