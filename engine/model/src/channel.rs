//! The types of channels: the message to send, what a plugin asks the host to send, the reply, and
//! the classification of the reply. The port that sends is [`Sender`]; nothing here does I/O.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::plugin;
use crate::{Currency, Price, UserId};

pub use crate::access::*;

/// An address of a user on one channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recipient {
    /// The user.
    pub user_id: UserId,
    /// The name of the channel, which is the stem of its plugin's file name.
    pub channel: String,
    /// The address in the form of the channel, such as a mail address or a URL.
    pub address: String,
    /// The language and region, as a BCP 47 tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// More data for the channel, as name and value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<(String, String)>,
}

/// An amount, also formatted for the recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Money {
    /// The exact amount.
    pub amount: Price,
    /// The ISO 4217 code.
    pub currency: Currency,
    /// The amount with its currency, formatted for the recipient's locale.
    pub text: String,
}

/// One price that dropped. All text is untrusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The id of the notification. A computed one replaces it if the notification has none.
    pub notification: String,
    /// The product.
    pub product: String,
    /// The price now.
    pub new_price: Money,
    /// The threshold of the watch that fired.
    pub watch_price: Option<Money>,
    /// The price before.
    pub previous_price: Option<Money>,
    /// When the price changed, epoch milliseconds.
    pub occurred_ms: Option<i64>,
    /// More data as name and value, such as the title and the URL.
    pub attributes: Vec<(String, String)>,
}

/// Why a message is sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// A price fell to a threshold of the recipient. The message has one item.
    #[default]
    PriceDrop,
    /// Several notifications were collected in one message.
    Digest,
    /// An operator tests the channel. The items are samples.
    Test,
}

/// One message to one address of one recipient, as a channel plugin receives it. All text is
/// untrusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The delivery key, the same at every attempt.
    pub key: String,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// Why it is sent.
    pub reason: Reason,
    /// The recipient.
    pub to: Recipient,
    /// The items, at least one, the most important first.
    pub items: Vec<Item>,
    /// A page on which the recipient can unsubscribe from these messages.
    pub unsubscribe_url: Option<String>,
    /// The URL to which the provider may report what happened to the message.
    pub callback_url: Option<String>,
    /// A later message with the same key may replace this one on the screen;
    /// `[A-Za-z0-9_-]{1,32}`.
    pub collapse_key: Option<String>,
    /// When the message becomes useless, epoch milliseconds.
    pub expires_ms: Option<i64>,
    /// The current time, epoch milliseconds.
    pub sent_ms: i64,
    /// More data, as name and value.
    pub attributes: Vec<(String, String)>,
}

/// The method of an HTTP request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

/// An HTTP request that the host sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// Its method.
    pub method: Method,
    /// The absolute URL, http or https.
    pub url: String,
    /// The headers, without those that the host sets.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
    /// The name of the credential that the host adds.
    pub credential: Option<String>,
}

/// A mail that the host sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// The subject, one line.
    pub subject: String,
    /// The plain text.
    pub text: String,
    /// The same as HTML.
    pub html: Option<String>,
    /// Further headers.
    pub headers: Vec<(String, String)>,
}

/// How urgently a device should receive a push message (RFC 8030 section 5.3).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Urgency {
    VeryLow,
    Low,
    #[default]
    Normal,
    High,
}

/// A push message to a browser (RFC 8030). The host encrypts (RFC 8291) and signs it (RFC 8292).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebPush {
    /// The subscription's endpoint.
    pub endpoint: String,
    /// The subscription's public key: 65 bytes in base64url.
    pub p256dh: String,
    /// The subscription's authentication secret: 16 bytes in base64url.
    pub auth: String,
    /// The payload, not yet encrypted.
    pub payload: Vec<u8>,
    /// How long the push service keeps the message, in seconds.
    pub ttl_s: u32,
    /// If set, the message replaces an undelivered one with the same topic.
    pub topic: Option<String>,
    /// How urgently the device should receive it.
    pub urgency: Urgency,
    /// The name of a VAPID credential.
    pub credential: Option<String>,
}

/// What to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing {
    /// An HTTP request.
    Http(HttpRequest),
    /// A mail to the address of the recipient.
    Mail(Mail),
    /// A push message to a browser.
    WebPush(WebPush),
    /// A line on standard output.
    Line(String),
}

/// Why a plugin refuses to render a message. Both are permanent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RenderError {
    /// The address cannot be used.
    BadRecipient(String),
    /// The message cannot be sent.
    Permanent(String),
}

/// The result of sending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// An HTTP response.
    Http {
        /// The status code.
        status: u16,
        /// The headers, with names in lower case.
        headers: Vec<(String, String)>,
        /// The body as text, invalid UTF-8 replaced.
        body: String,
        /// Whether the body was cut at the limit.
        truncated: bool,
    },
    /// An SMTP reply code and its text.
    Smtp(u16, String),
    /// No reply, and why.
    Unanswered(String),
    /// The line was written.
    Done,
}

/// A reply that a channel plugin classifies.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The message, as it was rendered.
    pub message: &'a Message,
    /// The reply.
    pub reply: &'a Reply,
    /// The request that it answers: 0 is the first, 1 the first follow-up.
    pub step: u32,
}

/// What a temporary failure affects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// This message only.
    #[default]
    Message,
    /// The provider, so its other messages have to wait too.
    Provider,
}

/// The meaning of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Classification {
    /// What the host's default table says.
    Standard,
    /// Accepted by the provider, with the provider's id of the message.
    Delivered(Option<String>),
    /// A temporary failure: try again.
    Temporary {
        /// Why.
        reason: String,
        /// The shortest wait in milliseconds. `None` means the host's backoff.
        retry_after_ms: Option<u64>,
        /// What it affects.
        scope: Scope,
    },
    /// A permanent failure, and why: do not try again.
    Permanent(String),
    /// This address does not work.
    BadRecipient {
        /// Why.
        reason: String,
        /// Since when, if the provider says so, epoch milliseconds.
        since_ms: Option<i64>,
    },
    /// One more request is needed.
    FollowUp(Outgoing),
}

/// A provider's request to a callback URL, after its signature was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallbackRequest {
    /// The delivery key of the message whose callback URL was called.
    pub key: String,
    /// The parameters of the query, decoded.
    pub query: Vec<(String, String)>,
    /// The headers, with names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// When it was received, epoch milliseconds.
    pub received_ms: i64,
}

/// What happened to a message, or what its recipient did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallbackOutcome {
    /// It reached the recipient.
    Delivered,
    /// The address does not exist.
    BouncedHard,
    /// The address could not be reached this time, but may work later.
    BouncedSoft,
    /// The recipient reported it as abuse.
    Complained,
    /// The recipient unsubscribed this address.
    OptedOut,
    /// The recipient subscribed this address again.
    OptedIn,
    /// The provider stopped trying.
    Failed,
}

/// One event that a provider reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallbackEvent {
    /// The provider's id of the event.
    pub id: Option<String>,
    /// The delivery key, if the provider returns it. `None` means that of the request.
    pub key: Option<String>,
    /// The provider's id of the message.
    pub provider_message: Option<String>,
    /// The address. `None` means that of the message.
    pub address: Option<String>,
    /// When it happened, epoch milliseconds.
    pub at_ms: Option<i64>,
    /// What happened.
    pub outcome: CallbackOutcome,
    /// The status in the provider's own words.
    pub status: String,
    /// Why, in words.
    pub reason: Option<String>,
}

/// The meaning of a request to a callback URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// These events. The list is empty if the request reports none.
    Events(Vec<CallbackEvent>),
    /// The provider verifies the URL: respond with this text.
    Challenge(String),
}

/// A channel plugin. It renders messages and classifies replies; the host sends.
pub trait Channel: Send + Sync {
    /// Returns `id@version`, for dead letters and logs.
    fn name(&self) -> &str;

    /// Returns what the channel may reach.
    fn access(&self) -> &Access;

    /// Returns the kind of its addresses: `mail`, `phone`, `url`, ...
    fn address_kind(&self) -> &str;

    /// Returns the canonical form of each address, or what is wrong with it, in order.
    fn normalize(&self, addresses: &[String]) -> Vec<Result<Result<String, String>, plugin::Error>>;

    /// Returns what to send for each message, in order.
    fn render(&self, messages: &[Message]) -> Vec<Result<Result<Outgoing, RenderError>, plugin::Error>>;

    /// Classifies each reply, in order. After an error, the caller uses the host's default table.
    fn classify(&self, answers: &[Answer<'_>]) -> Vec<Result<Classification, plugin::Error>>;

    /// Parses a provider's request to a callback URL. The inner error says why it cannot be parsed.
    ///
    /// # Errors
    /// The channel has no callbacks, or the plugin call failed.
    fn receive(&self, request: &CallbackRequest) -> Result<Result<Received, String>, plugin::Error>;
}

// ---------------------------------------------------------------- sending

/// One thing to send, with everything that the sender needs.
#[derive(Debug, Clone, Copy)]
pub struct SendRequest<'a> {
    /// The channel's name. Connections are pooled per channel.
    pub channel: &'a str,
    /// The hosts and credentials that the channel may use.
    pub access: &'a Access,
    /// The recipient. A mail is sent to its address.
    pub to: &'a Recipient,
    /// What to send.
    pub outgoing: &'a Outgoing,
    /// The same at every attempt, at most 255 bytes of visible ASCII. Each follow-up has its own.
    pub idempotency_key: &'a str,
    /// The URL for the headers `List-Unsubscribe` and `List-Unsubscribe-Post` of a mail.
    pub unsubscribe_url: Option<&'a str>,
    /// The time limit of the whole exchange, in milliseconds.
    pub timeout_ms: u64,
}

/// Why nothing was sent. Trying again does not help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It violates a limit, or the channel's access. An operator has to change the sidecar or the
    /// plugin.
    #[error("{0}")]
    Refused(String),
    /// The address is not valid.
    #[error("{0}")]
    BadRecipient(String),
}

/// The port for sending. It is the only way from a channel to the network.
#[async_trait]
pub trait Sender: Send + Sync {
    /// Sends once, without retries. If there is no reply within the time limit, it returns
    /// [`Reply::Unanswered`].
    ///
    /// # Errors
    /// Nothing was sent, and trying again would fail in the same way.
    async fn send(&self, request: SendRequest<'_>) -> Result<Reply, SendError>;
}
