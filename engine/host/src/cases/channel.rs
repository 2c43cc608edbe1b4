//! Cases of channels. Of a mail or request only what the case names is
//! compared.

use std::collections::BTreeMap;

use pricedrop_model::channel::{
    Channel, Delivery, HttpRequest, Mail, Method, Money, Outgoing, Recipient, Refusal, Reply, Verdict,
};
use pricedrop_model::{Currency, UserId};
use serde::Deserialize;

use super::bucketing::Number;
use super::{Yes, differs};

/// A question about one delivery.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "call", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Case {
    Render {
        delivery: DeliveryCase,
        expect: Rendered,
    },
    Judge {
        delivery: DeliveryCase,
        reply: ReplyCase,
        #[serde(default)]
        step: u32,
        expect: Judged,
    },
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeliveryCase {
    key: String,
    attempt: u32,
    notification: String,
    product: String,
    to: RecipientCase,
    new_price: MoneyCase,
    #[serde(default)]
    watch_price: Option<MoneyCase>,
    #[serde(default)]
    previous_price: Option<MoneyCase>,
    #[serde(default)]
    occurred_ms: Option<i64>,
    sent_ms: i64,
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

/// What is to be sent.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Rendered {
    Line(String),
    Mail(MailCase),
    Http(HttpCase),
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

/// What came back.
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

/// What it means.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Judged {
    Standard(Yes),
    Delivered(Option<String>),
    Temporary {
        #[serde(default)]
        retry_after_ms: Option<u64>,
    },
    Permanent(Yes),
    BadRecipient(Yes),
    FollowUp(Box<Rendered>),
}

fn pairs(map: &BTreeMap<String, String>) -> Vec<(String, String)> {
    map.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

impl MoneyCase {
    fn to_money(&self) -> Money {
        Money { amount: self.amount.0, currency: self.currency, text: self.text.clone() }
    }
}

impl DeliveryCase {
    fn to_delivery(&self) -> Delivery {
        Delivery {
            key: self.key.clone(),
            attempt: self.attempt,
            notification: self.notification.clone(),
            product: self.product.clone(),
            to: Recipient {
                user_id: self.to.user.clone(),
                channel: String::new(),
                address: self.to.address.clone(),
                locale: self.to.locale.clone(),
                attributes: pairs(&self.to.attributes),
            },
            new_price: self.new_price.to_money(),
            watch_price: self.watch_price.as_ref().map(MoneyCase::to_money),
            previous_price: self.previous_price.as_ref().map(MoneyCase::to_money),
            occurred_ms: self.occurred_ms,
            sent_ms: self.sent_ms,
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
        Case::Render { delivery, expect } => {
            let answers = channel.render(&[delivery.to_delivery()]);
            let answer = answers.into_iter().next().ok_or("no answer")?;
            compare_rendered(expect, &answer.map_err(|error| error.to_string())?)
        }
        Case::Judge { delivery, reply, step, expect } => {
            let verdict = channel.judge(&delivery.to_delivery(), &reply.to_reply(), *step);
            compare_judged(expect, verdict.map_err(|error| error.to_string())?)
        }
    }
}

fn compare_rendered(expect: &Rendered, got: &Result<Outgoing, Refusal>) -> Result<(), String> {
    let same = match (expect, got) {
        (Rendered::Line(line), Ok(Outgoing::Line(got))) => line == got,
        (Rendered::Mail(mail), Ok(Outgoing::Mail(got))) => is_mail(mail, got),
        (Rendered::Http(http), Ok(Outgoing::Http(got))) => is_http(http, got),
        (Rendered::Refused(RefusedCase::BadRecipient), Err(Refusal::BadRecipient(_)))
        | (Rendered::Refused(RefusedCase::Permanent), Err(Refusal::Permanent(_))) => true,
        _ => false,
    };
    if same { Ok(()) } else { Err(differs(expect, got)) }
}

/// Whether what the case names is the same.
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

fn compare_judged(expect: &Judged, got: Verdict) -> Result<(), String> {
    let same = match (expect, &got) {
        (Judged::Standard(_), Verdict::Standard)
        | (Judged::Permanent(_), Verdict::Permanent(_))
        | (Judged::BadRecipient(_), Verdict::BadRecipient(_)) => true,
        (Judged::Delivered(name), Verdict::Delivered(got)) => name == got,
        (Judged::Temporary { retry_after_ms }, Verdict::Temporary { retry_after_ms: got, .. }) => {
            retry_after_ms == got
        }
        (Judged::FollowUp(outgoing), Verdict::FollowUp(got)) => {
            return compare_rendered(outgoing, &Ok(got.clone()));
        }
        _ => false,
    };
    if same { Ok(()) } else { Err(differs(expect, &got)) }
}
