//! The words and seams of the dispatcher: deliveries, channels, and the state
//! that makes each delivery happen once.
//!
//! ```text
//! NotificationLog ──▶ Recipients ──▶ Leases.claim ──▶ Channel.render ──▶ Sender
//!                                        ▲                                  │
//!                     RetryQueue ◀───────┴── confirm ◀── Channel.judge ◀────┘
//! ```

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::plugin;
use crate::seams::Error;
use crate::{Currency, Notification, Price, UserId, WallTime};

// ---------------------------------------------------------------- channels

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
    /// Hosts it may reach: `api.example.com`, `*.example.com`,
    /// `127.0.0.1:8080`. Nothing else is reached; a private address must be
    /// listed as such.
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
    /// HMAC-SHA256 over the body, in hex, in a header.
    Hmac {
        /// The key.
        key: Secret,
        /// The header, such as `x-signature`.
        header: String,
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

// ---------------------------------------------------------------- seams

/// `user_notifications` as the dispatcher reads it.
#[async_trait]
pub trait NotificationLog: Send {
    /// The next notifications with their offsets: none when `wait_ms` passed
    /// without any.
    ///
    /// # Errors
    /// The log is away; try again.
    async fn next_batch(&mut self, most: usize, wait_ms: u64) -> Result<Vec<(i64, Notification)>, Error>;

    /// Every notification below this offset is confirmed, safely queued, or dead.
    ///
    /// # Errors
    /// Nothing is promised; committing again is safe.
    async fn commit(&mut self, next_offset: i64) -> Result<(), Error>;
}

/// Where users can be reached.
#[async_trait]
pub trait Recipients: Send + Sync {
    /// The addresses of each of these users, in their order.
    ///
    /// # Errors
    /// The store is away; try again.
    async fn of(&self, users: &[UserId]) -> Result<Vec<Vec<Recipient>>, Error>;

    /// Writes addresses; one per user, channel and address.
    ///
    /// # Errors
    /// Nothing is promised; writing again is safe.
    async fn put(&self, recipients: Vec<Recipient>) -> Result<(), Error>;

    /// Deletes an address; whether there was one.
    ///
    /// # Errors
    /// Nothing is promised; deleting again is safe.
    async fn delete(&self, user: &UserId, channel: &str, address: &str) -> Result<bool, Error>;

    /// A page in order of user, channel, address, behind `after`.
    ///
    /// # Errors
    /// The store is away; try again.
    async fn list(&self, after: Option<&Recipient>, most: usize) -> Result<Vec<Recipient>, Error>;
}

/// Whether a delivery may be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// It is yours until the lease ends.
    Yours,
    /// Somebody's, perhaps a dead one's, until then.
    Leased(WallTime),
    /// It was delivered.
    Delivered,
}

/// Leases and confirmations by delivery key. A claim is durable before its
/// request is sent; a confirmation outlives the longest retry.
#[async_trait]
pub trait Leases: Send + Sync {
    /// Claims deliveries until `until`.
    ///
    /// # Errors
    /// Nothing is promised; do not send.
    async fn claim(&self, keys: &[String], now: WallTime, until: WallTime) -> Result<Vec<Claim>, Error>;

    /// These were delivered.
    ///
    /// # Errors
    /// Nothing is promised; confirming again is safe.
    async fn confirm(&self, keys: &[String], now: WallTime) -> Result<(), Error>;

    /// These failed and may be claimed again at once.
    ///
    /// # Errors
    /// Nothing is promised; the lease ends by itself.
    async fn release(&self, keys: &[String]) -> Result<(), Error>;
}

/// A delivery to be tried again: all that is needed to do so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// The delivery's key.
    pub key: String,
    /// When.
    pub due: WallTime,
    /// The attempt that will be, from 1.
    pub attempt: u32,
    /// When it was first tried.
    pub since: WallTime,
    /// The addressee.
    pub to: Recipient,
    /// The notification.
    pub notification: Notification,
    /// What went wrong last.
    pub reason: String,
}

/// Deliveries waiting for their next attempt, by channel.
#[async_trait]
pub trait RetryQueue: Send + Sync {
    /// Adds or moves entries, durably.
    ///
    /// # Errors
    /// Nothing is promised; putting again is safe.
    async fn put(&self, retries: Vec<Retry>) -> Result<(), Error>;

    /// Entries of a channel due by now, the longest due first. An entry taken
    /// moves to `until` and stays until removed, so a worker that dies loses
    /// nothing.
    ///
    /// # Errors
    /// The store is away; try again.
    async fn take(
        &self,
        channel: &str,
        now: WallTime,
        until: WallTime,
        most: usize,
    ) -> Result<Vec<Retry>, Error>;

    /// Removes entries that are confirmed or dead.
    ///
    /// # Errors
    /// Nothing is promised; removing again is safe.
    async fn remove(&self, retries: &[Retry]) -> Result<(), Error>;

    /// How many wait, by channel.
    ///
    /// # Errors
    /// The store is away; try again.
    async fn waiting(&self) -> Result<Vec<(String, u64)>, Error>;
}

/// A delivery, or an update, that will not be tried again by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadItem {
    /// Its number in the dead-letter log.
    pub number: i64,
    /// When it died.
    pub at: WallTime,
    /// Why, in words.
    pub reason: String,
    /// What it was.
    pub what: DeadWhat,
}

/// What died.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeadWhat {
    /// A record of the input that was no update.
    #[serde(rename_all = "camelCase")]
    Update {
        /// Where it stood.
        partition: i32,
        /// Where it stood.
        offset: i64,
        /// Its key as text, invalid UTF-8 replaced.
        key: Option<String>,
        /// Its value as text, invalid UTF-8 replaced, cut at a limit.
        value: Option<String>,
        /// Its full length, when it was cut.
        truncated: Option<u64>,
    },
    /// A delivery that failed for good.
    #[serde(rename_all = "camelCase")]
    Delivery {
        /// All that is needed to try again.
        retry: Box<Retry>,
        /// The plugin, `id@version`.
        plugin: String,
    },
}

/// The dead-letter log.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// Adds items, durably; their numbers are the log's.
    ///
    /// # Errors
    /// Nothing is promised; adding again may show an item twice.
    async fn add(&self, items: Vec<DeadItem>) -> Result<(), Error>;

    /// Items behind this number, in order.
    ///
    /// # Errors
    /// The store is away; try again.
    async fn list(&self, after: Option<i64>, most: usize) -> Result<Vec<DeadItem>, Error>;

    /// One item.
    ///
    /// # Errors
    /// The store is away; try again.
    async fn get(&self, number: i64) -> Result<Option<DeadItem>, Error>;

    /// Takes an item away, because it was replayed.
    ///
    /// # Errors
    /// Nothing is promised; removing again is safe.
    async fn remove(&self, number: i64) -> Result<(), Error>;
}

/// The current price of a product, for re-checks and answers.
#[async_trait]
pub trait CurrentPrices: Send + Sync {
    /// Last evaluated price, the floor, and when.
    ///
    /// # Errors
    /// The store is away; try again.
    async fn of(
        &self,
        product: &crate::ProductId,
        currency: Currency,
    ) -> Result<Option<(crate::Evaluated, crate::Floor)>, Error>;
}
