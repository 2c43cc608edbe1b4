//! The words of channels: what a delivery is, what a plugin says to send, what
//! came back and what that means. Nothing here sends; [`Sender`] is the seam to
//! what does.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::plugin;
use crate::{Currency, Price, UserId};

/// Where to reach a user on one channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recipient {
    /// The user.
    pub user_id: UserId,
    /// The channel's name: its plugin's file stem.
    pub channel: String,
    /// What the channel needs: a mail address, a URL, ...
    pub address: String,
    /// BCP 47.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// Whatever else the channel wants to know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<(String, String)>,
}

/// An amount, also as the recipient writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Money {
    /// The exact amount.
    pub amount: Price,
    /// ISO 4217.
    pub currency: Currency,
    /// In the recipient's locale.
    pub text: String,
}

/// One notification for one address, as a channel sees it. All text is
/// untrusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Idempotency key, the same at every attempt.
    pub key: String,
    /// From 1.
    pub attempt: u32,
    /// The notification's id, or what stands for it.
    pub notification: String,
    /// The product.
    pub product: String,
    /// The addressee.
    pub to: Recipient,
    /// What it costs now.
    pub new_price: Money,
    /// The watch that fired.
    pub watch_price: Option<Money>,
    /// What it cost before.
    pub previous_price: Option<Money>,
    /// When the price changed, epoch milliseconds.
    pub occurred_ms: Option<i64>,
    /// Now, epoch milliseconds.
    pub sent_ms: i64,
    /// title, url, ...
    pub attributes: Vec<(String, String)>,
}

/// The method of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

/// A request for the host to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// Its method.
    pub method: Method,
    /// Absolute, http or https.
    pub url: String,
    /// Without those the host sets.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
    /// The name of a credential, applied by the host.
    pub credential: Option<String>,
}

/// A mail for the host to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// One line.
    pub subject: String,
    /// The plain text.
    pub text: String,
    /// The same as HTML.
    pub html: Option<String>,
    /// Further headers.
    pub headers: Vec<(String, String)>,
}

/// What to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing {
    /// A request.
    Http(HttpRequest),
    /// A mail to the delivery's address.
    Mail(Mail),
    /// A line on standard output.
    Line(String),
}

/// Why nothing can be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The address cannot work.
    BadRecipient(String),
    /// The message cannot work.
    Permanent(String),
}

/// How the sending went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// An HTTP answer.
    Http {
        /// The status.
        status: u16,
        /// Names in lower case.
        headers: Vec<(String, String)>,
        /// As text, invalid UTF-8 replaced.
        body: String,
        /// Whether it was longer than the limit.
        truncated: bool,
    },
    /// An SMTP code and its text.
    Smtp(u16, String),
    /// No answer, and why.
    Unanswered(String),
    /// Written, for a line.
    Done,
}

/// What a reply means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// By the host's table.
    Standard,
    /// It arrived; the provider's name for it.
    Delivered(Option<String>),
    /// Try again.
    Temporary {
        /// Why.
        reason: String,
        /// Not before this many milliseconds; none: the host's backoff.
        retry_after_ms: Option<u64>,
    },
    /// Never again.
    Permanent(String),
    /// This address does not work.
    BadRecipient(String),
    /// One more request is needed.
    FollowUp(Outgoing),
}

/// What a channel may reach and as whom: its sidecar's tables, read and checked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Access {
    /// Hosts it may reach; nothing else is. An entry is `name`, `*.suffix` (any
    /// depth below, not the suffix itself), an IPv4 address or `[IPv6]`, each
    /// with `:port` or without (then the ports 80 and 443 of their schemes).
    /// Addresses of private, loopback, link-local and other special ranges are
    /// refused, unless the entry is that very address (`127.0.0.1:8080`,
    /// `[::1]:9000`) or a name marked `private:`, such as
    /// `private:hooks.internal:9000`.
    pub hosts: Vec<String>,
    /// Credentials by name.
    pub credentials: std::collections::BTreeMap<String, Credential>,
    /// The mail account.
    pub mail: Option<MailAccount>,
    /// Most deliveries a second; none: no limit.
    pub rate_per_second: Option<u32>,
    /// Most requests in flight; none: the dispatcher's default.
    pub concurrency: Option<u32>,
    /// A request's time limit; none: the dispatcher's default.
    pub timeout_ms: Option<u64>,
}

/// A secret by name, bound to hosts. It never enters a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Credential {
    /// Only for these hosts, written as in `hosts`.
    pub hosts: Vec<String>,
    /// How it is applied.
    #[serde(flatten)]
    pub scheme: CredentialScheme,
}

/// How a credential is applied.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "scheme")]
pub enum CredentialScheme {
    /// `Authorization: Bearer`.
    Bearer {
        /// The token.
        token: Secret,
    },
    /// `Authorization: Basic`.
    Basic {
        /// The user.
        username: String,
        /// The password.
        password: Secret,
    },
    /// HMAC-SHA256 in hex in a header: over the body, or over
    /// `timestamp.body` where a header for the timestamp is named.
    Hmac {
        /// The key.
        key: Secret,
        /// The header, such as `x-signature`.
        header: String,
        /// A header for the epoch seconds of sending, so that a receiver can
        /// refuse what is old.
        #[serde(default)]
        timestamp_header: Option<String>,
    },
}

/// Where a secret lies; the secret itself never stands in a file of ours.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Secret {
    /// In this environment variable.
    Env(String),
    /// In this file, its last line end cut.
    File(std::path::PathBuf),
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Secret::Env(name) => write!(f, "env:{name}"),
            Secret::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

/// A mail account of a channel's sidecar.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MailAccount {
    /// The envelope sender and `From`.
    pub from: String,
    /// The server's name.
    pub host: String,
    /// Its port.
    #[serde(default = "submission_port")]
    pub port: u16,
    /// How the connection is secured.
    #[serde(default)]
    pub tls: MailTls,
    /// For AUTH; none: no AUTH.
    pub username: Option<String>,
    /// For AUTH.
    pub password: Option<Secret>,
    /// A PEM file of a certificate authority to trust besides the public ones.
    pub ca_file: Option<std::path::PathBuf>,
}

fn submission_port() -> u16 {
    587
}

/// How a mail connection is secured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MailTls {
    /// STARTTLS, refused when the server has none.
    #[default]
    Starttls,
    /// TLS from the first byte.
    Implicit,
    /// In the clear; for a relay on this machine.
    None,
}

/// A channel plugin: says what to send and reads the answer. The host sends.
pub trait Channel: Send + Sync {
    /// `id@version`, for dead letters and logs.
    fn name(&self) -> &str;

    /// What it may reach.
    fn access(&self) -> &Access;

    /// One answer per delivery, in order.
    fn render(&self, deliveries: &[Delivery]) -> Vec<Result<Result<Outgoing, Refusal>, plugin::Error>>;

    /// Reads one reply; `step` counts follow-ups from 0.
    ///
    /// # Errors
    /// No answer: judge by the host's table.
    fn judge(&self, delivery: &Delivery, reply: &Reply, step: u32) -> Result<Verdict, plugin::Error>;
}

// ---------------------------------------------------------------- sending

/// One thing to send, with all that the sending side has to know.
#[derive(Debug, Clone, Copy)]
pub struct Parcel<'a> {
    /// The channel's name; connections are pooled under it.
    pub channel: &'a str,
    /// What the channel may reach and as whom.
    pub access: &'a Access,
    /// The addressee; a mail goes there.
    pub to: &'a Recipient,
    /// What to send.
    pub outgoing: &'a Outgoing,
    /// At most 255 bytes of visible ASCII, the same at every attempt; follow-ups
    /// have their own.
    pub idempotency_key: &'a str,
    /// The time limit of the whole exchange, milliseconds.
    pub timeout_ms: u64,
}

/// Why a parcel was not even tried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It breaks a rule of the channel's access or a limit: the same next time,
    /// until somebody changes the sidecar or the plugin.
    #[error("{0}")]
    Refused(String),
    /// Its address is none.
    #[error("{0}")]
    BadRecipient(String),
}

/// Sends what channels say: the only way from a channel to the outside.
#[async_trait]
pub trait Sender: Send + Sync {
    /// Sends one parcel once; it never tries again by itself. No answer within
    /// the time limit is a [`Reply::Unanswered`].
    ///
    /// # Errors
    /// It was not tried, and would not be next time.
    async fn send(&self, parcel: Parcel<'_>) -> Result<Reply, SendError>;
}
