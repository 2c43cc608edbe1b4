//! Publishes every notification to an ntfy topic.

mod publish;
mod topic;

use pricedrop_plugin_support::channel::{
    Answer, Classification, Description, Guest, Message, Outgoing, Refusal, Reply, Response, Template,
};
use pricedrop_plugin_support::templates::Templates;
use pricedrop_plugin_support::types::{About, Problem, Setting, SettingSpec, Value};
use pricedrop_plugin_support::{LinkHosts, Settings, spec};
use publish::Publisher;
use std::cell::OnceCell;

thread_local! {
    static PUBLISHER: OnceCell<Publisher> = const { OnceCell::new() };
}

/// The plugin.
pub struct Channel;

fn settings() -> Vec<SettingSpec> {
    vec![
        spec(
            "server",
            "The server of addresses that are bare topics, without a path.",
            Value::Text("https://ntfy.sh".into()),
        ),
        spec(
            "credential",
            "The credential of the sidecar that the host applies at this server; empty: none.",
            Value::Credential(String::new()),
        ),
        spec("priority", "From 1, no sound, to 5, loudest.", Value::Number(3)),
        spec("tags", "Tags of every message; ntfy shows some as emojis.", Value::Words(Vec::new())),
        LinkHosts::spec(),
        Templates::default_locale_spec(),
    ]
}

impl Guest for Channel {
    fn describe() -> Description {
        let about = About {
            id: "channel-ntfy".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Publishes every notification to an ntfy topic.".into(),
            settings: settings(),
        };
        Description { about, address_kind: "topic".into() }
    }

    fn configure(settings: Vec<Setting>, templates: Vec<Template>) -> Result<(), Vec<Problem>> {
        let publisher = Publisher::new(&Settings::new(settings), templates)?;
        PUBLISHER.with(|cell| cell.set(publisher).ok());
        Ok(())
    }

    fn normalize(addresses: Vec<String>) -> Vec<Result<String, String>> {
        PUBLISHER.with(|cell| {
            let publisher = cell.get().expect("the host configures first");
            addresses.iter().map(|address| publisher.normalize(address)).collect()
        })
    }

    fn render(messages: Vec<Message>) -> Vec<Result<Outgoing, Refusal>> {
        PUBLISHER.with(|cell| {
            let publisher = cell.get().expect("the host configures first");
            messages.iter().map(|message| publisher.render(message).map(Outgoing::Http)).collect()
        })
    }

    fn classify(answers: Vec<Answer>) -> Vec<Classification> {
        answers.into_iter().map(|answer| classification(&answer.reply)).collect()
    }
}

/// A topic comes into being when it is published to, so 404 and 410 say nothing about
/// the address. The host's table covers every other answer: 429 is temporary and
/// concerns the provider; 401 and 403 are permanent.
fn classification(reply: &Reply) -> Classification {
    match reply {
        Reply::Http(Response { status: status @ (404 | 410), .. }) => {
            Classification::Permanent(format!("the server answered HTTP {status}: it is no ntfy server"))
        }
        _ => Classification::Standard,
    }
}

// The names of exports hold an @, which native linkers take for a version.
#[cfg(target_arch = "wasm32")]
pricedrop_plugin_support::channel::export_channel!(Channel);
