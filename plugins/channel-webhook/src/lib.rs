//! Posts every notification as JSON to the recipient's address or to one URL.

mod body;
mod webhook;

use pricedrop_plugin_support::channel::{
    Answer, Classification, Description, Guest, Message, Outgoing, Refusal, Template,
};
use pricedrop_plugin_support::types::{About, Problem, Setting, Value};
use pricedrop_plugin_support::{Settings, no_templates, spec};
use std::cell::OnceCell;
use webhook::Webhook;

thread_local! {
    static WEBHOOK: OnceCell<Webhook> = const { OnceCell::new() };
}

/// The plugin.
pub struct Channel;

impl Guest for Channel {
    fn describe() -> Description {
        let about = About {
            id: "channel-webhook".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Sends every notification as JSON to a URL.".into(),
            settings: vec![
                spec(
                    "url",
                    "Where to send; empty: the recipient's address is the URL.",
                    Value::Text(String::new()),
                ),
                spec("method", "How to send: post or put.", Value::Text("post".into())),
                spec(
                    "credential",
                    "The credential of the sidecar that the host applies; empty: none.",
                    Value::Credential(String::new()),
                ),
                spec("headers", "Further headers, each as \"name: value\".", Value::Words(Vec::new())),
            ],
        };
        Description { about, address_kind: "url".into() }
    }

    fn configure(settings: Vec<Setting>, templates: Vec<Template>) -> Result<(), Vec<Problem>> {
        no_templates(templates.iter().map(|template| template.part.as_str()))?;
        let webhook = Webhook::new(&Settings::new(settings)).map_err(|wrong| vec![wrong])?;
        WEBHOOK.with(|cell| cell.set(webhook).ok());
        Ok(())
    }

    fn normalize(addresses: Vec<String>) -> Vec<Result<String, String>> {
        WEBHOOK.with(|cell| {
            let webhook = cell.get().expect("the host configures first");
            addresses.iter().map(|address| webhook.normalize(address)).collect()
        })
    }

    fn render(messages: Vec<Message>) -> Vec<Result<Outgoing, Refusal>> {
        WEBHOOK.with(|cell| {
            let webhook = cell.get().expect("the host configures first");
            messages.iter().map(|message| webhook.render(message).map(Outgoing::Http)).collect()
        })
    }

    fn classify(answers: Vec<Answer>) -> Vec<Classification> {
        answers.iter().map(|_| Classification::Standard).collect()
    }
}

// The names of exports hold an @, which native linkers take for a version.
#[cfg(target_arch = "wasm32")]
pricedrop_plugin_support::channel::export_channel!(Channel);
