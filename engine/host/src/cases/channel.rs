//! Self-test cases of channels. A case compares only the fields of a mail, request or push message
//! that it names.

use std::collections::BTreeMap;

use pricedrop_model::channel::{
    Answer, Channel, Classification, HttpRequest, Item, Mail, Message, Method, Money, Outgoing, Reason,
    Recipient, RenderError, Reply, Scope, Urgency, WebPush,
};
use pricedrop_model::{Currency, UserId};
use serde::Deserialize;

use super::callbacks::{self, ReceivedCase, RequestCase};
use super::values::{Number, Yes, differs, pairs};

/// A call of a channel, with the expected answer.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "call", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Case {
    Normalize {
        address: String,
        expect: Normalized,
    },
    Render {
        message: MessageCase,
        expect: Rendered,
    },
    Classify {
        message: MessageCase,
        reply: ReplyCase,
        #[serde(default)]
        step: u32,
        expect: Classified,
    },
    Receive {
        request: RequestCase,
        expect: ReceivedCase,
    },
}

/// The expected canonical address, or that the address is refused.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Normalized {
    Address(String),
    Wrong(Yes),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MessageCase {
    key: String,
    attempt: u32,
    #[serde(default)]
    reason: Reason,
    to: RecipientCase,
    items: Vec<ItemCase>,
    #[serde(default)]
    unsubscribe_url: Option<String>,
    #[serde(default)]
    callback_url: Option<String>,
    #[serde(default)]
    collapse_key: Option<String>,
    #[serde(default)]
    expires_ms: Option<i64>,
    sent_ms: i64,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ItemCase {
    notification: String,
    product: String,
    new_price: MoneyCase,
    #[serde(default)]
    watch_price: Option<MoneyCase>,
    #[serde(default)]
    previous_price: Option<MoneyCase>,
    #[serde(default)]
    occurred_ms: Option<i64>,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecipientCase {
    user: UserId,
    address: String,
    #[serde(default)]
    locale: Option<String>,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct MoneyCase {
    amount: Number,
    currency: Currency,
    text: String,
}

/// The expected outgoing message or refusal.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Rendered {
    Line(String),
    Mail(MailCase),
    Http(HttpCase),
    WebPush(WebPushCase),
    Refused(RefusedCase),
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RefusedCase {
    BadRecipient,
    Permanent,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub(crate) struct MailCase {
    subject: Option<String>,
    text: Option<String>,
    html: Option<String>,
    headers: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub(crate) struct HttpCase {
    method: Option<String>,
    url: Option<String>,
    headers: BTreeMap<String, String>,
    body: Option<String>,
    credential: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub(crate) struct WebPushCase {
    endpoint: Option<String>,
    p256dh: Option<String>,
    auth: Option<String>,
    payload: Option<String>,
    ttl_s: Option<u32>,
    topic: Option<String>,
    urgency: Option<String>,
    credential: Option<String>,
}

/// The reply that the channel must classify.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReplyCase {
    Http {
        status: u16,
        #[serde(default)]
        headers: BTreeMap<String, String>,
        #[serde(default)]
        body: String,
        #[serde(default)]
        truncated: bool,
    },
    Smtp(u16, String),
    Unanswered(String),
    Done(Yes),
}

/// The expected classification.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Classified {
    Standard(Yes),
    Delivered(Option<String>),
    Temporary {
        #[serde(default)]
        retry_after_ms: Option<u64>,
        #[serde(default)]
        scope: Scope,
    },
    Permanent(Yes),
    BadRecipient {
        #[serde(default)]
        since_ms: Option<i64>,
    },
    FollowUp(Box<Rendered>),
}

impl MoneyCase {
    fn to_money(&self) -> Money {
        Money { amount: self.amount.0, currency: self.currency, text: self.text.clone() }
    }
}

impl MessageCase {
    fn to_message(&self) -> Message {
        Message {
            key: self.key.clone(),
            attempt: self.attempt,
            reason: self.reason,
            to: Recipient {
                user_id: self.to.user.clone(),
                channel: String::new(),
                address: self.to.address.clone(),
                locale: self.to.locale.clone(),
                attributes: pairs(&self.to.attributes),
            },
            items: self.items.iter().map(ItemCase::to_item).collect(),
            unsubscribe_url: self.unsubscribe_url.clone(),
            callback_url: self.callback_url.clone(),
            collapse_key: self.collapse_key.clone(),
            expires_ms: self.expires_ms,
            sent_ms: self.sent_ms,
            attributes: pairs(&self.attributes),
        }
    }
}

impl ItemCase {
    fn to_item(&self) -> Item {
        Item {
            notification: self.notification.clone(),
            product: self.product.clone(),
            new_price: self.new_price.to_money(),
            watch_price: self.watch_price.as_ref().map(MoneyCase::to_money),
            previous_price: self.previous_price.as_ref().map(MoneyCase::to_money),
            occurred_ms: self.occurred_ms,
            attributes: pairs(&self.attributes),
        }
    }
}

impl ReplyCase {
    fn to_reply(&self) -> Reply {
        match self {
            ReplyCase::Http { status, headers, body, truncated } => Reply::Http {
                status: *status,
                headers: pairs(headers),
                body: body.clone(),
                truncated: *truncated,
            },
            ReplyCase::Smtp(code, text) => Reply::Smtp(*code, text.clone()),
            ReplyCase::Unanswered(why) => Reply::Unanswered(why.clone()),
            ReplyCase::Done(_) => Reply::Done,
        }
    }
}

pub(super) fn run(case: &Case, channel: &dyn Channel) -> Result<(), String> {
    match case {
        Case::Normalize { address, expect } => {
            let answer = only(channel.normalize(std::slice::from_ref(address)))?;
            match (expect, &answer) {
                (Normalized::Address(expect), Ok(got)) if expect == got => Ok(()),
                (Normalized::Wrong(_), Err(_)) => Ok(()),
                _ => Err(differs(expect, &answer)),
            }
        }
        Case::Render { message, expect } => {
            compare_rendered(expect, &only(channel.render(&[message.to_message()]))?)
        }
        Case::Classify { message, reply, step, expect } => {
            let (message, reply) = (message.to_message(), reply.to_reply());
            let answer = Answer { message: &message, reply: &reply, step: *step };
            compare_classified(expect, only(channel.classify(&[answer]))?)
        }
        Case::Receive { request, expect } => {
            let received = channel.receive(&request.to_request()).map_err(|error| error.to_string())?;
            callbacks::compare(expect, &received)
        }
    }
}

/// Returns the only answer of a batch of one.
fn only<T, E: std::fmt::Display>(answers: Vec<Result<T, E>>) -> Result<T, String> {
    answers.into_iter().next().ok_or("no answer")?.map_err(|error| error.to_string())
}

fn compare_rendered(expect: &Rendered, got: &Result<Outgoing, RenderError>) -> Result<(), String> {
    let same = match (expect, got) {
        (Rendered::Line(line), Ok(Outgoing::Line(got))) => line == got,
        (Rendered::Mail(mail), Ok(Outgoing::Mail(got))) => is_mail(mail, got),
        (Rendered::Http(http), Ok(Outgoing::Http(got))) => is_http(http, got),
        (Rendered::WebPush(push), Ok(Outgoing::WebPush(got))) => is_web_push(push, got),
        (Rendered::Refused(RefusedCase::BadRecipient), Err(RenderError::BadRecipient(_)))
        | (Rendered::Refused(RefusedCase::Permanent), Err(RenderError::Permanent(_))) => true,
        _ => false,
    };
    if same { Ok(()) } else { Err(differs(expect, got)) }
}

/// Returns whether the values are equal, or the case names none.
fn named<T: PartialEq + ?Sized>(expect: Option<&T>, got: &T) -> bool {
    expect.is_none_or(|expect| expect == got)
}

fn has_headers(expect: &BTreeMap<String, String>, got: &[(String, String)]) -> bool {
    expect.iter().all(|(name, value)| {
        got.iter().any(|(got_name, got_value)| got_name.eq_ignore_ascii_case(name) && got_value == value)
    })
}

fn is_mail(expect: &MailCase, got: &Mail) -> bool {
    named(expect.subject.as_ref(), &got.subject)
        && named(expect.text.as_ref(), &got.text)
        && (expect.html.is_none() || expect.html == got.html)
        && has_headers(&expect.headers, &got.headers)
}

fn is_http(expect: &HttpCase, got: &HttpRequest) -> bool {
    let method = match got.method {
        Method::Get => "get",
        Method::Post => "post",
        Method::Put => "put",
        Method::Patch => "patch",
        Method::Delete => "delete",
    };
    named(expect.method.as_deref(), method)
        && named(expect.url.as_ref(), &got.url)
        && named(expect.body.as_deref().map(str::as_bytes), &got.body)
        && (expect.credential.is_none() || expect.credential == got.credential)
        && has_headers(&expect.headers, &got.headers)
}

fn is_web_push(expect: &WebPushCase, got: &WebPush) -> bool {
    let urgency = match got.urgency {
        Urgency::VeryLow => "very-low",
        Urgency::Low => "low",
        Urgency::Normal => "normal",
        Urgency::High => "high",
    };
    named(expect.endpoint.as_ref(), &got.endpoint)
        && named(expect.p256dh.as_ref(), &got.p256dh)
        && named(expect.auth.as_ref(), &got.auth)
        && named(expect.payload.as_deref().map(str::as_bytes), &got.payload)
        && named(expect.ttl_s.as_ref(), &got.ttl_s)
        && named(expect.urgency.as_deref(), urgency)
        && (expect.topic.is_none() || expect.topic == got.topic)
        && (expect.credential.is_none() || expect.credential == got.credential)
}

fn compare_classified(expect: &Classified, got: Classification) -> Result<(), String> {
    let same = match (expect, &got) {
        (Classified::Standard(_), Classification::Standard)
        | (Classified::Permanent(_), Classification::Permanent(_)) => true,
        (Classified::BadRecipient { since_ms }, Classification::BadRecipient { since_ms: got, .. }) => {
            since_ms == got
        }
        (Classified::Delivered(id), Classification::Delivered(got)) => id == got,
        (
            Classified::Temporary { retry_after_ms, scope },
            Classification::Temporary { retry_after_ms: got, scope: got_scope, .. },
        ) => retry_after_ms == got && scope == got_scope,
        (Classified::FollowUp(outgoing), Classification::FollowUp(got)) => {
            return compare_rendered(outgoing, &Ok(got.clone()));
        }
        _ => false,
    };
    if same { Ok(()) } else { Err(differs(expect, &got)) }
}
