//! Channels: the model's trait over the contract. What a channel wants sent is
//! checked here for shape; whether it may be sent is the sender's business.

use pricedrop_model::channel::{
    Access, Channel as Model, Delivery, HttpRequest, Mail, Method, Money, Outgoing, Refusal, Reply, Verdict,
};
use pricedrop_model::plugin;

use super::bindings::channel::exports::pricedrop::channel::channel as wire;
use super::contract;
use super::throttling::wire_price;
use crate::limits::{HEADERS, HOLD_MS, LINE_BYTES, STATEMENT_BYTES};
use crate::plugin::{Failure, Plugin};
use crate::settings::cut;

contract!(
    Channel,
    Channel,
    "pricedrop:channel/channel@0.1.0",
    channel,
    ChannelPluginPre,
    ChannelPlugin,
    pricedrop_channel_channel
);

/// A channel plugin with what it may reach.
pub(crate) struct ChannelPlugin {
    pub(crate) plugin: Plugin<Channel>,
    pub(crate) access: Access,
}

type Pairs<'a> = Vec<(&'a str, &'a str)>;

/// The lists of a delivery, lent out while it is asked about.
struct Lists<'a> {
    attributes: Pairs<'a>,
    recipient: Pairs<'a>,
}

fn pairs(list: &[(String, String)]) -> Pairs<'_> {
    list.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

impl<'a> Lists<'a> {
    fn of(delivery: &'a Delivery) -> Lists<'a> {
        Lists { attributes: pairs(&delivery.attributes), recipient: pairs(&delivery.to.attributes) }
    }

    fn lend(&'a self, delivery: &'a Delivery) -> wire::Delivery<'a> {
        wire::Delivery {
            key: &delivery.key,
            attempt: delivery.attempt,
            notification: &delivery.notification,
            product: &delivery.product,
            to: wire::Recipient {
                user: delivery.to.user_id.as_str(),
                address: &delivery.to.address,
                locale: delivery.to.locale.as_deref(),
                attributes: &self.recipient,
            },
            new_price: money(&delivery.new_price),
            watch_price: delivery.watch_price.as_ref().map(money),
            previous_price: delivery.previous_price.as_ref().map(money),
            occurred_ms: delivery.occurred_ms,
            sent_ms: delivery.sent_ms,
            attributes: &self.attributes,
        }
    }
}

fn money(money: &Money) -> wire::Money<'_> {
    wire::Money { amount: wire_price(money.amount), currency: money.currency.as_str(), text: &money.text }
}

impl Model for ChannelPlugin {
    fn name(&self) -> &str {
        &self.plugin.meta.name
    }

    fn access(&self) -> &Access {
        &self.access
    }

    fn render(&self, deliveries: &[Delivery]) -> Vec<Result<Result<Outgoing, Refusal>, plugin::Error>> {
        const FUNCTION: &str = "render";
        let lists: Vec<Lists<'_>> = deliveries.iter().map(Lists::of).collect();
        let lent: Vec<wire::Delivery<'_>> =
            lists.iter().zip(deliveries).map(|(lists, delivery)| lists.lend(delivery)).collect();
        let answers = self.plugin.call_batch(FUNCTION, &lent, |exports, store, deliveries| {
            exports.pricedrop_channel_channel().call_render(store, deliveries)
        });
        let check = |answer: Result<_, _>| match answer? {
            Ok(outgoing) => read_outgoing(outgoing).map(Ok).map_err(|breach| {
                self.plugin.breached(FUNCTION, &breach);
                self.plugin.error(FUNCTION, &breach)
            }),
            Err(wire::Refusal::BadRecipient(reason)) => Ok(Err(Refusal::BadRecipient(cut(&reason)))),
            Err(wire::Refusal::Permanent(reason)) => Ok(Err(Refusal::Permanent(cut(&reason)))),
        };
        answers.into_iter().map(check).collect()
    }

    fn judge(&self, delivery: &Delivery, reply: &Reply, step: u32) -> Result<Verdict, plugin::Error> {
        const FUNCTION: &str = "judge";
        self.plugin.admit(FUNCTION)?;
        let lists = Lists::of(delivery);
        let headers = match reply {
            Reply::Http { headers, .. } => pairs(headers),
            _ => Vec::new(),
        };
        let answer = self.plugin.call(|exports, store| {
            let reply = wire_reply(reply, &headers);
            exports.pricedrop_channel_channel().call_judge(store, lists.lend(delivery), reply, step)
        });
        let verdict = answer.and_then(|verdict| read_verdict(verdict).map_err(Failure::Breach));
        self.plugin.conclude(FUNCTION, verdict)
    }
}

fn wire_reply<'a>(reply: &'a Reply, headers: &'a Pairs<'a>) -> wire::Reply<'a> {
    match reply {
        Reply::Http { status, body, truncated, .. } => {
            wire::Reply::Http(wire::Response { status: *status, headers, body, truncated: *truncated })
        }
        Reply::Smtp(code, text) => wire::Reply::Smtp((*code, text)),
        Reply::Unanswered(why) => wire::Reply::Unanswered(why),
        Reply::Done => wire::Reply::Done,
    }
}

fn read_verdict(verdict: wire::Verdict) -> Result<Verdict, String> {
    Ok(match verdict {
        wire::Verdict::Standard => Verdict::Standard,
        wire::Verdict::Delivered(name) => Verdict::Delivered(name.map(|name| cut(&name))),
        wire::Verdict::Temporary(temporary) => Verdict::Temporary {
            reason: cut(&temporary.reason),
            retry_after_ms: temporary.retry_after_ms.map(|wait| wait.min(HOLD_MS.unsigned_abs())),
        },
        wire::Verdict::Permanent(reason) => Verdict::Permanent(cut(&reason)),
        wire::Verdict::BadRecipient(reason) => Verdict::BadRecipient(cut(&reason)),
        wire::Verdict::FollowUp(outgoing) => Verdict::FollowUp(read_outgoing(outgoing)?),
    })
}

/// What a channel wants sent, its shape checked: a line is one line, so that
/// no text of a product becomes a header or a second message.
fn read_outgoing(outgoing: wire::Outgoing) -> Result<Outgoing, String> {
    Ok(match outgoing {
        wire::Outgoing::Http(http) => Outgoing::Http(read_http(http)?),
        wire::Outgoing::Mail(mail) => {
            one_line("subject", &mail.subject)?;
            Outgoing::Mail(Mail {
                subject: mail.subject,
                text: mail.text,
                html: mail.html,
                headers: read_headers(mail.headers)?,
            })
        }
        wire::Outgoing::Line(line) => {
            one_line("line", &line)?;
            Outgoing::Line(line)
        }
    })
}

fn read_http(http: wire::Http) -> Result<HttpRequest, String> {
    one_line("url", &http.url)?;
    if let Some(name) = http.credential.as_ref().filter(|name| name.len() > STATEMENT_BYTES) {
        return Err(format!("credential: a name of {} bytes", name.len()));
    }
    Ok(HttpRequest {
        method: match http.method {
            wire::Method::Get => Method::Get,
            wire::Method::Post => Method::Post,
            wire::Method::Put => Method::Put,
            wire::Method::Patch => Method::Patch,
            wire::Method::Delete => Method::Delete,
        },
        url: http.url,
        headers: read_headers(http.headers)?,
        body: match http.body {
            wire::Body::None => Vec::new(),
            wire::Body::Text(text) => text.into_bytes(),
            wire::Body::Bytes(bytes) => bytes,
        },
        credential: http.credential,
    })
}

fn read_headers(headers: Vec<(String, String)>) -> Result<Vec<(String, String)>, String> {
    if headers.len() > HEADERS {
        return Err(format!("{} headers; at most {HEADERS}", headers.len()));
    }
    for (name, value) in &headers {
        one_line("header name", name)?;
        one_line("header value", value)?;
    }
    Ok(headers)
}

fn one_line(what: &str, text: &str) -> Result<(), String> {
    if text.len() > LINE_BYTES {
        return Err(format!("{what}: {} bytes; at most {LINE_BYTES}", text.len()));
    }
    match text.contains(['\r', '\n', '\0']) {
        true => Err(format!("{what}: more than one line")),
        false => Ok(()),
    }
}
