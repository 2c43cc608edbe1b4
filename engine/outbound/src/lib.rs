//! Sends what channels say: requests, mails, lines. The only way from a channel
//! to the outside, and so the place where its allow-list, its credentials and
//! every limit are enforced. What to send and what an answer means is not
//! decided here.
//!
//! ```text
//! SendRequest ─▶ ChannelAccess ─┬▶ http: hosts ▶ headers ▶ credential ▶ resolve ▶ request
//!            (one per      ├▶ mail: letter ▶ connection (TLS, AUTH) ▶ dialogue
//!             channel)     └▶ lines: one thread on standard output
//! ```

mod address;
mod channel;
mod clients;
mod credential;
mod dkim;
mod headers;
mod hosts;
mod http;
mod letter;
mod limits;
mod lines;
mod mail;
mod resolve;
mod secret;
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
use secret::Secrets;

/// Why nothing can be sent at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The certificate authorities cannot be read: mend `ca_file`.
    #[error("{0}")]
    Tls(String),
    /// The thread that writes lines was not started.
    #[error("the thread that writes lines: {0}")]
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
    /// With lines on standard output.
    ///
    /// # Errors
    /// `ca_file` cannot be read, or no thread can be started.
    pub fn new(options: Options) -> Result<Outbound, Error> {
        Outbound::with_output(options, Box::new(std::io::stdout()))
    }

    /// With lines written there.
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

    /// Whether an access can be used as it stands: what is wrong with it, in
    /// words. For whoever loads sidecars.
    ///
    /// # Errors
    /// A host, a credential or the mail account cannot be read.
    pub fn check(&self, access: &Access) -> Result<(), String> {
        ChannelAccess::new(access, &self.options, &self.tls).map(drop)
    }

    /// The channel's connections, built anew when its access has changed.
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
