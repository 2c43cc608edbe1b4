//! The HTTP connections of a channel, and the text of their errors.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, ClientBuilder, redirect, retry};

use super::hosts::Reach;
use super::limits::{Options, REASON_BYTES};
use super::resolve::PublicOnly;

/// The HTTP clients of one channel: one that resolves names to public addresses only, and one for
/// hosts listed as private. Both follow no redirects, use no proxy and do not retry.
pub(super) struct Clients {
    public: Client,
    anywhere: Client,
}

impl Clients {
    pub(super) fn new(options: &Options, tls: &rustls::ClientConfig) -> Result<Clients, String> {
        let client = |builder: ClientBuilder| {
            builder
                .tls_backend_preconfigured(tls.clone())
                .no_proxy()
                .redirect(redirect::Policy::none())
                .retry(retry::never())
                .referer(false)
                .user_agent(concat!("pricedrop/", env!("CARGO_PKG_VERSION")))
                .pool_idle_timeout(Duration::from_millis(options.idle_ms))
                .pool_max_idle_per_host(options.idle_connections)
                .build()
                .map_err(|error| describe(&error))
        };
        Ok(Clients {
            public: client(Client::builder().dns_resolver(Arc::new(PublicOnly)))?,
            anywhere: client(Client::builder())?,
        })
    }

    /// Returns the client for a host with this reach.
    pub(super) fn of(&self, reach: Reach) -> &Client {
        match reach {
            Reach::Public => &self.public,
            Reach::Anywhere => &self.anywhere,
        }
    }
}

/// Returns the causes of an error as text, at most [`REASON_BYTES`] long. The URL is left out
/// because it may be a secret.
pub(super) fn describe(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut source = error.source();
    while let Some(cause) = source {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    if text.is_empty() {
        text.push_str("the request failed");
    }
    text.truncate(text.floor_char_boundary(REASON_BYTES));
    text
}
