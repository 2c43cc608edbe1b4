//! Implements the model's trait of channels by calls of the plugin, and checks every answer against
//! the contract.

use pricedrop_model::channel::{
    Access, Answer, CallbackRequest, Channel as Model, Classification, Item, Message, Money, Outgoing,
    Reason, Received, RenderError, Reply, Scope,
};
use pricedrop_model::plugin;
use wasmtime::Store;
use wasmtime::component::InstancePre;

use super::bindings::callbacks::{CallbacksPlugin, CallbacksPluginIndices};
use super::bindings::channel::exports::pricedrop::channel::channel as wire;
use super::bindings::channel::{ChannelPlugin as Exported, ChannelPluginIndices};
use super::bindings::types::{Problem, Setting};
use super::name_values::{NameValues, borrow};
use super::outgoing::read_outgoing;
use super::throttling::wire_price;
use super::{Contract, Description, Template, callbacks};
use crate::limits::{ADDRESS_BYTES, HOLD_MS};
use crate::plugin::{Failure, Plugin};
use crate::settings::truncate;
use crate::store::Data;
use pricedrop_model::plugin::Kind;

const CALLBACKS: &str = "pricedrop:channel/callbacks@0.1.0";

/// The channel contract. See [`Contract`].
pub(crate) struct Channel;

/// A linked channel, with the indices of its exports.
pub(crate) struct Linked {
    pre: InstancePre<Data>,
    channel: ChannelPluginIndices,
    callbacks: Option<CallbacksPluginIndices>,
}

/// The exports of one instance.
pub(crate) struct Exports {
    channel: Exported,
    callbacks: Option<CallbacksPlugin>,
}

impl Contract for Channel {
    const KIND: Kind = Kind::Channel;
    const INTERFACE: &'static str = "pricedrop:channel/channel@0.1.0";
    type Linked = Linked;
    type Exports = Exports;

    fn link(pre: InstancePre<Data>) -> wasmtime::Result<Linked> {
        let component = pre.component().component_type();
        let has_callbacks = component.exports(pre.engine()).any(|(name, _)| name == CALLBACKS);
        Ok(Linked {
            channel: ChannelPluginIndices::new(&pre)?,
            callbacks: has_callbacks.then(|| CallbacksPluginIndices::new(&pre)).transpose()?,
            pre,
        })
    }

    fn instantiate(linked: &Linked, store: &mut Store<Data>) -> wasmtime::Result<Exports> {
        let instance = linked.pre.instantiate(&mut *store)?;
        let callbacks = linked.callbacks.as_ref();
        Ok(Exports {
            channel: linked.channel.load(&mut *store, &instance)?,
            callbacks: callbacks.map(|indices| indices.load(&mut *store, &instance)).transpose()?,
        })
    }

    fn describe(exports: &Exports, store: &mut Store<Data>) -> wasmtime::Result<Description> {
        let description = exports.channel.pricedrop_channel_channel().call_describe(store)?;
        Ok(Description { about: description.about, address_kind: Some(description.address_kind) })
    }

    fn configure(
        exports: &Exports,
        store: &mut Store<Data>,
        settings: &[Setting<'_>],
        templates: &[Template],
    ) -> wasmtime::Result<Result<(), Vec<Problem>>> {
        let borrowed: Vec<wire::Template<'_>> = templates
            .iter()
            .map(|it| wire::Template { locale: &it.locale, part: &it.part, text: &it.text })
            .collect();
        exports.channel.pricedrop_channel_channel().call_configure(store, settings, &borrowed)
    }
}

/// A channel plugin, with the hosts and credentials of its sidecar.
pub(crate) struct ChannelPlugin {
    pub(crate) plugin: Plugin<Channel>,
    pub(crate) address_kind: String,
    pub(crate) access: Access,
}

/// A message with its lists as slices, borrowed during a call.
struct Borrowed<'a> {
    message: &'a Message,
    attributes: NameValues<'a>,
    recipient: NameValues<'a>,
    /// The attributes of each item.
    of_items: Vec<NameValues<'a>>,
}

/// The items of a message in the contract's form.
type Items<'a> = Vec<wire::Item<'a>>;

impl<'a> Borrowed<'a> {
    fn of(message: &'a Message) -> Borrowed<'a> {
        Borrowed {
            message,
            attributes: borrow(&message.attributes),
            recipient: borrow(&message.to.attributes),
            of_items: message.items.iter().map(|item| borrow(&item.attributes)).collect(),
        }
    }

    fn items(&'a self) -> Items<'a> {
        self.message
            .items
            .iter()
            .zip(&self.of_items)
            .map(|(item, attributes)| wire_item(item, attributes))
            .collect()
    }

    fn message(&'a self, items: &'a Items<'a>) -> wire::Message<'a> {
        let message = self.message;
        wire::Message {
            key: &message.key,
            attempt: message.attempt,
            reason: match message.reason {
                Reason::PriceDrop => wire::Reason::PriceDrop,
                Reason::Digest => wire::Reason::Digest,
                Reason::Test => wire::Reason::Test,
            },
            to: wire::Recipient {
                user: message.to.user_id.as_str(),
                address: &message.to.address,
                locale: message.to.locale.as_deref(),
                attributes: &self.recipient,
            },
            items,
            unsubscribe_url: message.unsubscribe_url.as_deref(),
            callback_url: message.callback_url.as_deref(),
            collapse_key: message.collapse_key.as_deref(),
            expires_ms: message.expires_ms,
            sent_ms: message.sent_ms,
            attributes: &self.attributes,
        }
    }
}

fn wire_item<'a>(item: &'a Item, attributes: &'a NameValues<'a>) -> wire::Item<'a> {
    wire::Item {
        notification: &item.notification,
        product: &item.product,
        new_price: money(&item.new_price),
        watch_price: item.watch_price.as_ref().map(money),
        previous_price: item.previous_price.as_ref().map(money),
        occurred_ms: item.occurred_ms,
        attributes,
    }
}

fn money(money: &Money) -> wire::Money<'_> {
    wire::Money { amount: wire_price(money.amount), currency: money.currency.as_str(), text: &money.text }
}

impl ChannelPlugin {
    /// Returns a converted answer, or records the breach of contract and returns an error.
    fn check<T>(&self, function: &'static str, read: Result<T, String>) -> Result<T, plugin::Error> {
        read.map_err(|breach| {
            self.plugin.breached(function, &breach);
            self.plugin.error(function, &breach)
        })
    }
}

impl ChannelPlugin {
    /// Checks that the plugin answers these messages by its contract. Does not change its health.
    ///
    /// # Errors
    /// It failed or broke the contract; the text says with which sample.
    pub(crate) fn try_render(&self, messages: &[Message]) -> Result<(), String> {
        let lists: Vec<Borrowed<'_>> = messages.iter().map(Borrowed::of).collect();
        let items: Vec<Items<'_>> = lists.iter().map(Borrowed::items).collect();
        for (borrowed, items) in lists.iter().zip(&items) {
            let of = |reason: &str| {
                let locale = borrowed.message.to.locale.as_deref().unwrap_or("no locale");
                format!("a sample of {} items for {locale}: {reason}", items.len())
            };
            let answers = self.plugin.call(|exports, store| {
                let message = borrowed.message(items);
                exports.channel.pricedrop_channel_channel().call_render(store, &[message])
            });
            let answers = answers.map_err(|failure| of(failure.reason()))?;
            let [answer] =
                <[_; 1]>::try_from(answers).map_err(|all| of(&format!("{} answers", all.len())))?;
            if let Ok(outgoing) = answer {
                read_outgoing(outgoing).map_err(|breach| of(&breach))?;
            }
        }
        Ok(())
    }
}

impl Model for ChannelPlugin {
    fn name(&self) -> &str {
        &self.plugin.meta.name
    }

    fn access(&self) -> &Access {
        &self.access
    }

    fn address_kind(&self) -> &str {
        &self.address_kind
    }

    fn normalize(&self, addresses: &[String]) -> Vec<Result<Result<String, String>, plugin::Error>> {
        const FUNCTION: &str = "normalize";
        let borrowed: Vec<&str> = addresses.iter().map(String::as_str).collect();
        let answers = self.plugin.call_batch(FUNCTION, &borrowed, |exports, store, addresses| {
            exports.channel.pricedrop_channel_channel().call_normalize(store, addresses)
        });
        let read = |answer: Result<String, String>| match answer {
            Ok(address) if address.is_empty() || address.len() > ADDRESS_BYTES => {
                Err(format!("an address of {} bytes; 1 to {ADDRESS_BYTES} are allowed", address.len()))
            }
            Ok(address) => Ok(Ok(address)),
            Err(problem) => Ok(Err(truncate(&problem))),
        };
        answers.into_iter().map(|answer| self.check(FUNCTION, read(answer?))).collect()
    }

    fn render(&self, messages: &[Message]) -> Vec<Result<Result<Outgoing, RenderError>, plugin::Error>> {
        const FUNCTION: &str = "render";
        let lists: Vec<Borrowed<'_>> = messages.iter().map(Borrowed::of).collect();
        let items: Vec<Items<'_>> = lists.iter().map(Borrowed::items).collect();
        let borrowed: Vec<wire::Message<'_>> =
            lists.iter().zip(&items).map(|(borrowed, items)| borrowed.message(items)).collect();
        let answers = self.plugin.call_batch(FUNCTION, &borrowed, |exports, store, messages| {
            exports.channel.pricedrop_channel_channel().call_render(store, messages)
        });
        let read = |answer| match answer {
            Ok(outgoing) => read_outgoing(outgoing).map(Ok),
            Err(wire::Refusal::BadRecipient(reason)) => Ok(Err(RenderError::BadRecipient(truncate(&reason)))),
            Err(wire::Refusal::Permanent(reason)) => Ok(Err(RenderError::Permanent(truncate(&reason)))),
        };
        answers.into_iter().map(|answer| self.check(FUNCTION, read(answer?))).collect()
    }

    fn classify(&self, answers: &[Answer<'_>]) -> Vec<Result<Classification, plugin::Error>> {
        const FUNCTION: &str = "classify";
        let lists: Vec<Borrowed<'_>> = answers.iter().map(|answer| Borrowed::of(answer.message)).collect();
        let items: Vec<Items<'_>> = lists.iter().map(Borrowed::items).collect();
        let headers: Vec<NameValues<'_>> = answers.iter().map(|answer| headers(answer.reply)).collect();
        let borrowed: Vec<wire::Answer<'_>> = (0..answers.len())
            .map(|at| wire::Answer {
                message: lists[at].message(&items[at]),
                reply: wire_reply(answers[at].reply, &headers[at]),
                step: answers[at].step,
            })
            .collect();
        let classified = self.plugin.call_batch(FUNCTION, &borrowed, |exports, store, answers| {
            exports.channel.pricedrop_channel_channel().call_classify(store, answers)
        });
        classified.into_iter().map(|answer| self.check(FUNCTION, read_classification(answer?))).collect()
    }

    fn receive(&self, request: &CallbackRequest) -> Result<Result<Received, String>, plugin::Error> {
        const FUNCTION: &str = "receive";
        self.plugin.admit(FUNCTION)?;
        let answer = self.plugin.call(|exports, store| match &exports.callbacks {
            Some(exports) => callbacks::receive(exports, store, request).map(Some),
            None => Ok(None),
        });
        let read = answer.and_then(|answer| match answer {
            Some(Ok(received)) => callbacks::read(received).map(Ok).map_err(Failure::Breach),
            Some(Err(problem)) => Ok(Err(truncate(&problem))),
            None => Ok(Err("the channel does not export callbacks".into())),
        });
        self.plugin.record_outcome(FUNCTION, read)
    }
}

fn headers(reply: &Reply) -> NameValues<'_> {
    match reply {
        Reply::Http { headers, .. } => borrow(headers),
        _ => Vec::new(),
    }
}

fn wire_reply<'a>(reply: &'a Reply, headers: &'a NameValues<'a>) -> wire::Reply<'a> {
    match reply {
        Reply::Http { status, body, truncated, .. } => {
            wire::Reply::Http(wire::Response { status: *status, headers, body, truncated: *truncated })
        }
        Reply::Smtp(code, text) => wire::Reply::Smtp((*code, text)),
        Reply::Unanswered(why) => wire::Reply::Unanswered(why),
        Reply::Done => wire::Reply::Done,
    }
}

fn read_classification(classification: wire::Classification) -> Result<Classification, String> {
    Ok(match classification {
        wire::Classification::Standard => Classification::Standard,
        wire::Classification::Delivered(id) => Classification::Delivered(id.map(|id| truncate(&id))),
        wire::Classification::Temporary(temporary) => Classification::Temporary {
            reason: truncate(&temporary.reason),
            retry_after_ms: temporary.retry_after_ms.map(|wait| wait.min(HOLD_MS.unsigned_abs())),
            scope: match temporary.scope {
                wire::Scope::Message => Scope::Message,
                wire::Scope::Provider => Scope::Provider,
            },
        },
        wire::Classification::Permanent(reason) => Classification::Permanent(truncate(&reason)),
        wire::Classification::BadRecipient(bad) => {
            Classification::BadRecipient { reason: truncate(&bad.reason), since_ms: bad.since_ms }
        }
        wire::Classification::FollowUp(outgoing) => Classification::FollowUp(read_outgoing(outgoing)?),
    })
}
