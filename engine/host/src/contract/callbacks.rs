//! The optional callbacks of channels: converts a provider's request and the events that the plugin
//! reads from it.

use pricedrop_model::channel::{CallbackEvent, CallbackOutcome, CallbackRequest, Received};
use wasmtime::Store;

use super::bindings::callbacks::CallbacksPlugin;
use super::bindings::callbacks::exports::pricedrop::channel::callbacks as wire;
use super::name_values::borrow;
use crate::limits::EVENTS;
use crate::settings::truncate;
use crate::store::Data;

/// Calls `receive` of an instance.
pub(super) fn receive(
    exports: &CallbacksPlugin,
    store: &mut Store<Data>,
    request: &CallbackRequest,
) -> wasmtime::Result<Result<wire::Received, String>> {
    let (query, headers) = (borrow(&request.query), borrow(&request.headers));
    let request = wire::Request {
        key: &request.key,
        query: &query,
        headers: &headers,
        body: &request.body,
        received_ms: request.received_ms,
    };
    exports.pricedrop_channel_callbacks().call_receive(store, request)
}

/// Converts an answer, and checks it against [`EVENTS`].
pub(super) fn read(received: wire::Received) -> Result<Received, String> {
    match received {
        wire::Received::Events(events) if events.len() > EVENTS => {
            Err(format!("{} events; at most {EVENTS}", events.len()))
        }
        wire::Received::Events(events) => Ok(Received::Events(events.into_iter().map(event).collect())),
        wire::Received::Challenge(text) => Ok(Received::Challenge(text)),
    }
}

fn event(event: wire::Event) -> CallbackEvent {
    CallbackEvent {
        id: event.id,
        key: event.key,
        provider_message: event.provider_message,
        address: event.address,
        at_ms: event.at_ms,
        outcome: match event.outcome {
            wire::Outcome::Delivered => CallbackOutcome::Delivered,
            wire::Outcome::Bounced(wire::Bounce::Hard) => CallbackOutcome::BouncedHard,
            wire::Outcome::Bounced(wire::Bounce::Soft) => CallbackOutcome::BouncedSoft,
            wire::Outcome::Complained => CallbackOutcome::Complained,
            wire::Outcome::OptedOut => CallbackOutcome::OptedOut,
            wire::Outcome::OptedIn => CallbackOutcome::OptedIn,
            wire::Outcome::Failed => CallbackOutcome::Failed,
        },
        status: truncate(&event.status),
        reason: event.reason.map(|reason| truncate(&reason)),
    }
}
