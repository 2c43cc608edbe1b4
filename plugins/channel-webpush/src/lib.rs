//! Sends every notification as a push message to a browser.

mod push;
mod reply;
mod subscription;

use pricedrop_plugin_support::channel::{
    Answer, Classification, Description, Guest, Message, Outgoing, Refusal, Template,
};
use pricedrop_plugin_support::templates::Templates;
use pricedrop_plugin_support::types::{About, Problem, Setting, Value};
use pricedrop_plugin_support::{LinkHosts, Settings, spec};
use push::Push;
use std::cell::OnceCell;
use subscription::Subscription;

thread_local! {
    static PUSH: OnceCell<Push> = const { OnceCell::new() };
}

/// The plugin.
pub struct Channel;

impl Guest for Channel {
    fn describe() -> Description {
        let about = About {
            id: "channel-webpush".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Sends every notification as a push message to a browser.".into(),
            settings: vec![
                spec(
                    "credential",
                    "The VAPID credential of the sidecar; empty: none.",
                    Value::Credential(String::new()),
                ),
                spec(
                    "ttl",
                    "The longest time that the push service keeps a message.",
                    Value::Millis(24 * 3_600_000),
                ),
                spec(
                    "urgency",
                    "How soon a device wakes up: very-low, low, normal or high.",
                    Value::Text("normal".into()),
                ),
                LinkHosts::spec(),
                Templates::default_locale_spec(),
            ],
        };
        Description { about, address_kind: "web-push".into() }
    }

    fn configure(settings: Vec<Setting>, templates: Vec<Template>) -> Result<(), Vec<Problem>> {
        let push = Push::new(&Settings::new(settings), templates)?;
        PUSH.with(|cell| cell.set(push).ok());
        Ok(())
    }

    fn normalize(addresses: Vec<String>) -> Vec<Result<String, String>> {
        addresses.iter().map(|address| Subscription::parse(address).map(|it| it.canonical())).collect()
    }

    fn render(messages: Vec<Message>) -> Vec<Result<Outgoing, Refusal>> {
        PUSH.with(|cell| {
            let push = cell.get().expect("the host configures first");
            messages.iter().map(|message| push.render(message).map(Outgoing::WebPush)).collect()
        })
    }

    fn classify(answers: Vec<Answer>) -> Vec<Classification> {
        answers.into_iter().map(|answer| reply::classification(answer.reply)).collect()
    }
}

// The names of exports hold an @, which native linkers take for a version.
#[cfg(target_arch = "wasm32")]
pricedrop_plugin_support::channel::export_channel!(Channel);
