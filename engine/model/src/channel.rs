//! The types of channels: the message to be sent, what a plugin asks the host to
//! send, the reply, and what the reply means. Nothing here sends; [`Sender`] is the
//! port to the code that does.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::plugin;
use crate::{Currency, Price, UserId};

pub use crate::access::*;

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

/// One price that dropped. All text is untrusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The notification's id, or what stands for it.
    pub notification: String,
    /// The product.
    pub product: String,
    /// What it costs now.
    pub new_price: Money,
    /// The threshold of the watch that fired.
    pub watch_price: Option<Money>,
    /// What it cost before.
    pub previous_price: Option<Money>,
    /// When the price changed, epoch milliseconds.
    pub occurred_ms: Option<i64>,
    /// title, url, ...
    pub attributes: Vec<(String, String)>,
}

/// Why a message is sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// A price reached what the recipient waits for: one item.
    #[default]
    PriceDrop,
    /// Several notifications were collected.
    Digest,
    /// Somebody tries the channel out; the items are samples.
    Test,
}

/// One message to one recipient at one address, as a channel sees it. All text
/// is untrusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The delivery key, the same at every attempt.
    pub key: String,
    /// From 1.
    pub attempt: u32,
    /// Why it is sent.
    pub reason: Reason,
    /// The addressee.
    pub to: Recipient,
    /// What it is about: at least one item, the most important first.
    pub items: Vec<Item>,
    /// A page where the recipient ends these messages.
    pub unsubscribe_url: Option<String>,
    /// Where the provider may report what became of the message.
    pub callback_url: Option<String>,
    /// A later message with the same key may replace this one on the screen;
    /// `[A-Za-z0-9_-]{1,32}`.
    pub collapse_key: Option<String>,
    /// After this the message is of no use, epoch milliseconds.
    pub expires_ms: Option<i64>,
    /// Now, epoch milliseconds.
    pub sent_ms: i64,
    /// Further data, by name.
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

/// How soon a device should wake up for a push message, RFC 8030 section 5.3.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Urgency {
    VeryLow,
    Low,
    #[default]
    Normal,
    High,
}

/// A push message to a browser (RFC 8030), for the host to encrypt (RFC 8291)
/// and to sign (RFC 8292).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebPush {
    /// The subscription's endpoint.
    pub endpoint: String,
    /// The subscription's public key: 65 bytes in base64url.
    pub p256dh: String,
    /// The subscription's authentication secret: 16 bytes in base64url.
    pub auth: String,
    /// The payload in the clear.
    pub payload: Vec<u8>,
    /// How long the push service keeps it, seconds.
    pub ttl_s: u32,
    /// Replaces an undelivered message of the same topic.
    pub topic: Option<String>,
    /// How soon the device should wake up.
    pub urgency: Urgency,
    /// The name of a VAPID credential.
    pub credential: Option<String>,
}

/// What to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing {
    /// A request.
    Http(HttpRequest),
    /// A mail to the message's address.
    Mail(Mail),
    /// A push message to a browser.
    WebPush(WebPush),
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

/// A reply to be classified.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The message, as it was rendered.
    pub message: &'a Message,
    /// What came back.
    pub reply: &'a Reply,
    /// Which request it answers: 0, then counting follow-ups.
    pub step: u32,
}

/// Whom a temporary failure concerns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// The message alone.
    #[default]
    Message,
    /// The provider: its other messages wait, too.
    Provider,
}

/// What a reply means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Classification {
    /// By the host's table.
    Standard,
    /// It was accepted; the provider's id of the message.
    Delivered(Option<String>),
    /// Try again.
    Temporary {
        /// Why.
        reason: String,
        /// Not before this many milliseconds; none: the host's backoff.
        retry_after_ms: Option<u64>,
        /// Whom it concerns.
        scope: Scope,
    },
    /// Never again.
    Permanent(String),
    /// This address does not work.
    BadRecipient {
        /// Why.
        reason: String,
        /// Since when, where the provider says so, epoch milliseconds.
        since_ms: Option<i64>,
    },
    /// One more request is needed.
    FollowUp(Outgoing),
}

/// A provider's request to a callback URL, its signature verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallbackRequest {
    /// The delivery key of the message whose callback URL was called.
    pub key: String,
    /// The parameters of the query, decoded.
    pub query: Vec<(String, String)>,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// When it came in, epoch milliseconds.
    pub received_ms: i64,
}

/// What became of a message, or what its recipient did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallbackOutcome {
    /// It reached the recipient.
    Delivered,
    /// The address does not exist.
    BouncedHard,
    /// The address could not be reached this time.
    BouncedSoft,
    /// The recipient reported it as abuse.
    Complained,
    /// The recipient wants no further messages at this address.
    OptedOut,
    /// The recipient wants messages at this address again.
    OptedIn,
    /// The provider gave up.
    Failed,
}

/// One event that a provider reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallbackEvent {
    /// The provider's id of the event.
    pub id: Option<String>,
    /// The delivery key, where the provider gives it back; none: the request's.
    pub key: Option<String>,
    /// The provider's id of the message.
    pub provider_message: Option<String>,
    /// The address it concerns; none: the message's.
    pub address: Option<String>,
    /// When it happened, epoch milliseconds.
    pub at_ms: Option<i64>,
    /// What happened.
    pub outcome: CallbackOutcome,
    /// The provider's own word for it.
    pub status: String,
    /// Why, in words.
    pub reason: Option<String>,
}

/// What a request to a callback URL says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// These events; none where it concerns nobody.
    Events(Vec<CallbackEvent>),
    /// The provider verifies the URL: answer with this text.
    Challenge(String),
}

/// A channel plugin: says what to send and reads the reply. The host sends.
pub trait Channel: Send + Sync {
    /// `id@version`, for dead letters and logs.
    fn name(&self) -> &str;

    /// What it may reach.
    fn access(&self) -> &Access;

    /// The kind of address it sends to: `mail`, `phone`, `url`, ...
    fn address_kind(&self) -> &str;

    /// The canonical form of each address, or what is wrong with it.
    fn normalize(&self, addresses: &[String]) -> Vec<Result<Result<String, String>, plugin::Error>>;

    /// What to send for each message, in order.
    fn render(&self, messages: &[Message]) -> Vec<Result<Result<Outgoing, Refusal>, plugin::Error>>;

    /// What each reply means, in order; an error: classify it by the host's table.
    fn classify(&self, answers: &[Answer<'_>]) -> Vec<Result<Classification, plugin::Error>>;

    /// Reads a provider's request to a callback URL; the inner error says why it
    /// cannot be read.
    ///
    /// # Errors
    /// The channel has no callbacks, or the plugin broke down.
    fn receive(&self, request: &CallbackRequest) -> Result<Result<Received, String>, plugin::Error>;
}

// ---------------------------------------------------------------- sending

/// One thing to send, with all that the sending side has to know.
#[derive(Debug, Clone, Copy)]
pub struct SendRequest<'a> {
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
    /// For the headers `List-Unsubscribe` and `List-Unsubscribe-Post` of a mail.
    pub unsubscribe_url: Option<&'a str>,
    /// The time limit of the whole exchange, milliseconds.
    pub timeout_ms: u64,
}

/// Why nothing was even tried.
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
    /// Sends once; it never tries again by itself. No answer within the time limit
    /// is a [`Reply::Unanswered`].
    ///
    /// # Errors
    /// It was not tried, and would not be next time.
    async fn send(&self, request: SendRequest<'_>) -> Result<Reply, SendError>;
}
