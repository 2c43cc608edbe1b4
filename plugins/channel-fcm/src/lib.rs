//! Sends every notification through Firebase Cloud Messaging.

mod push;
mod reply;

use pricedrop_plugin_support::channel::{
    Answer, Classification, Description, Guest, Message, Outgoing, Refusal, Template,
};
use pricedrop_plugin_support::templates::Templates;
use pricedrop_plugin_support::types::{About, Problem, Setting, Value};
use pricedrop_plugin_support::{LinkHosts, Settings, spec};
use push::Push;
use std::cell::OnceCell;

thread_local! {
    static PUSH: OnceCell<Push> = const { OnceCell::new() };
}

/// The plugin.
pub struct Channel;

impl Guest for Channel {
    fn describe() -> Description {
        let about = About {
            id: "channel-fcm".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Sends every notification through Firebase Cloud Messaging.".into(),
            settings: vec![
                spec(
                    "credential",
                    "The service account credential of the sidecar; empty: none.",
                    Value::Credential(String::new()),
                ),
                spec(
                    "project",
                    "The id of the Firebase project; nothing is sent without it.",
                    Value::Text(String::new()),
                ),
                spec("base-url", "Where the API is.", Value::Text("https://fcm.googleapis.com".into())),
                LinkHosts::spec(),
                Templates::default_locale_spec(),
            ],
        };
        Description { about, address_kind: "fcm".into() }
    }

    fn configure(settings: Vec<Setting>, templates: Vec<Template>) -> Result<(), Vec<Problem>> {
        let push = Push::new(&Settings::new(settings), templates)?;
        PUSH.with(|cell| cell.set(push).ok());
        Ok(())
    }

    fn normalize(addresses: Vec<String>) -> Vec<Result<String, String>> {
        addresses.iter().map(|address| push::normalize(address)).collect()
    }

    fn render(messages: Vec<Message>) -> Vec<Result<Outgoing, Refusal>> {
        PUSH.with(|cell| {
            let push = cell.get().expect("the host configures first");
            messages.iter().map(|message| push.render(message).map(Outgoing::Http)).collect()
        })
    }

    fn classify(answers: Vec<Answer>) -> Vec<Classification> {
        answers.into_iter().map(|answer| reply::classification(answer.reply)).collect()
    }
}

// The names of exports hold an @, which native linkers take for a version.
#[cfg(target_arch = "wasm32")]
pricedrop_plugin_support::channel::export_channel!(Channel);
