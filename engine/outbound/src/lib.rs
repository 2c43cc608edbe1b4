//! Sends what channel plugins render: HTTP requests, mails, web push messages, lines.
//!
//! Invariant: this is the only way from a channel to the network, so its allowed hosts, its
//! credentials and every limit are enforced here. Plugins decide what to send and what a reply
//! means, not this crate.
//!
//! ```text
//! SendRequest ─▶ ChannelAccess ─┬▶ http: hosts ▶ headers ▶ credential ▶ resolve ▶ request
//!                (one per       ├▶ web_push: encrypt ▶ http
//!                 channel)      └▶ mail: mime_message ▶ dkim ▶ connection (TLS, AUTH) ▶ SMTP
//!             ─▶ lines: one thread that writes to standard output
//! ```

mod address;
mod channel;
mod clients;
mod credential;
mod dkim;
mod headers;
mod hosts;
mod http;
mod limits;
mod lines;
mod mail;
mod mime_message;
mod resolve;
mod secret;
mod smtp;
mod tls;
mod web_push;

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use pricedrop_model::channel::{Access, Outgoing, Reply, SendError, SendRequest, Sender};
use pricedrop_model::sync::lock;

pub use limits::Options;
pub use tls::trusting_client;

use channel::ChannelAccess;
use lines::Lines;
use secret::{Form, Secrets};

/// Checks a channel's access when its sidecar is loaded, without connecting. Reads its secrets and
/// certificate files.
///
/// # Errors
/// A host, a credential or the mail account is invalid, or a secret or a file is missing. The text says
/// which, why, and how to mend it.
pub fn check(access: &Access, options: &Options) -> Result<(), String> {
    channel::Parts::of(access, options).map(drop)?;
    let secrets = Secrets::default();
    let missing =
        |of: &str, error: secret::Error| format!("{of}: {error}; provide it, or correct the sidecar");
    for (name, credential) in &access.credentials {
        for (key, secret, form) in credential::secrets(&credential.scheme) {
            let of = || format!("credential {name}: {key}");
            secrets.check(secret, form).map_err(|error| missing(&of(), error))?;
        }
    }
    let mail = access.mail.iter().flat_map(|account| {
        let password = account.password.as_ref().map(|secret| ("password", secret, Form::Line));
        password.into_iter().chain(account.dkim.as_ref().map(|dkim| ("dkim.key", &dkim.key, Form::Text)))
    });
    for (key, secret, form) in mail {
        secrets.check(secret, form).map_err(|error| missing(&format!("mail: {key}"), error))?;
    }
    Ok(())
}

/// Why the sender cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The certificate authorities cannot be read: correct `ca_file`.
    #[error("{0}")]
    Tls(String),
    /// The thread that writes lines could not be started.
    #[error("the thread that writes lines cannot be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// Sends over HTTP, SMTP and standard output.
pub struct Outbound {
    options: Options,
    tls: rustls::ClientConfig,
    secrets: Secrets,
    lines: Lines,
    channels: Mutex<HashMap<String, Arc<ChannelAccess>>>,
}

impl Outbound {
    /// Starts a sender that writes lines to standard output.
    ///
    /// # Errors
    /// `ca_file` cannot be read, or no thread can be started.
    pub fn new(options: Options) -> Result<Outbound, Error> {
        Outbound::with_output(options, Box::new(std::io::stdout()))
    }

    /// Starts a sender that writes lines to `out`.
    ///
    /// # Errors
    /// `ca_file` cannot be read, or no thread can be started.
    pub fn with_output(options: Options, out: Box<dyn Write + Send>) -> Result<Outbound, Error> {
        Ok(Outbound {
            tls: tls::client_config(options.ca_file.as_deref()).map_err(Error::Tls)?,
            secrets: Secrets::default(),
            lines: Lines::start(out)?,
            channels: Mutex::default(),
            options,
        })
    }

    /// Returns the channel's access and connections. A changed access gets new connections.
    fn channel(&self, request: &SendRequest<'_>) -> Result<Arc<ChannelAccess>, SendError> {
        let mut channels = lock(&self.channels);
        if let Some(channel) = channels.get(request.channel)
            && channel.access == *request.access
        {
            return Ok(Arc::clone(channel));
        }
        let channel = ChannelAccess::new(request.access, &self.options, &self.tls)
            .map_err(|reason| SendError::Refused(format!("the sidecar of {}: {reason}", request.channel)))?;
        let channel = Arc::new(channel);
        channels.insert(request.channel.to_owned(), Arc::clone(&channel));
        Ok(channel)
    }
}

#[async_trait]
impl Sender for Outbound {
    async fn send(&self, request: SendRequest<'_>) -> Result<Reply, SendError> {
        match request.outgoing {
            Outgoing::Line(line) => Ok(self.lines.write(line).await),
            Outgoing::Http(http) => {
                let channel = self.channel(&request)?;
                http::send(&request, http, &channel, &self.options, &self.secrets).await
            }
            Outgoing::WebPush(push) => {
                let channel = self.channel(&request)?;
                let http = web_push::request(push, &channel)?;
                http::send(&request, &http, &channel, &self.options, &self.secrets).await
            }
            Outgoing::Mail(mail) => {
                let channel = self.channel(&request)?;
                let pool = channel.mail.as_ref().ok_or_else(|| {
                    SendError::Refused(format!("{} has no mail account in its sidecar", request.channel))
                })?;
                pool.send(&request, mail, self.options.request_bytes, &self.secrets).await
            }
        }
    }
}
