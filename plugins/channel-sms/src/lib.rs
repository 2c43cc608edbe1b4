//! Sends every notification as a text message through an API compatible with Twilio's.

mod classify;
mod form;
mod phone;
mod receive;
mod segments;
mod sender;
mod text_message;

use pricedrop_plugin_support::callbacks::{self, Received, Request};
use pricedrop_plugin_support::channel::{
    Answer, Classification, Description, Guest, Message, Outgoing, Refusal, Template,
};
use pricedrop_plugin_support::templates::Templates;
use pricedrop_plugin_support::types::{About, Problem, Setting, SettingSpec, Value};
use pricedrop_plugin_support::{LinkHosts, Settings, spec};
use std::cell::OnceCell;
use text_message::TextMessages;

thread_local! {
    static CONFIGURED: OnceCell<TextMessages> = const { OnceCell::new() };
}

/// The plugin.
pub struct Channel;

impl Guest for Channel {
    fn describe() -> Description {
        let about = About {
            id: "channel-sms".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Sends every notification as a text message.".into(),
            settings: setting_specs(),
        };
        Description { about, address_kind: "phone".into() }
    }

    fn configure(settings: Vec<Setting>, templates: Vec<Template>) -> Result<(), Vec<Problem>> {
        let configured = TextMessages::new(&Settings::new(settings), templates)?;
        CONFIGURED.with(|cell| cell.set(configured).ok());
        Ok(())
    }

    fn normalize(addresses: Vec<String>) -> Vec<Result<String, String>> {
        addresses.iter().map(|address| phone::normalize(address)).collect()
    }

    fn render(messages: Vec<Message>) -> Vec<Result<Outgoing, Refusal>> {
        CONFIGURED.with(|cell| {
            let configured = cell.get().expect("the host configures first");
            messages.iter().map(|message| configured.render(message).map(Outgoing::Http)).collect()
        })
    }

    fn classify(answers: Vec<Answer>) -> Vec<Classification> {
        answers.iter().map(|answer| classify::classify(&answer.reply)).collect()
    }
}

impl callbacks::Guest for Channel {
    fn receive(request: Request) -> Result<Received, String> {
        receive::receive(&request.body).map(Received::Events)
    }
}

fn setting_specs() -> Vec<SettingSpec> {
    vec![
        spec(
            "account-sid",
            "The provider's id of the account; nothing is sent without it.",
            Value::Text(String::new()),
        ),
        spec("base-url", "Where the provider's API is.", Value::Text("https://api.twilio.com".into())),
        spec("credential", "The sidecar's credential for the API.", Value::Credential(String::new())),
        spec(
            "senders",
            "Who sends, by the beginning of the recipient's number, such as +49=Shop; * means any number.",
            Value::Words(Vec::new()),
        ),
        spec("max-segments", "The most segments of one message.", Value::Number(2)),
        LinkHosts::spec(),
        Templates::default_locale_spec(),
    ]
}

// The names of exports hold an @, which native linkers take for a version.
#[cfg(target_arch = "wasm32")]
pricedrop_plugin_support::channel::export_channel!(Channel);
#[cfg(target_arch = "wasm32")]
pricedrop_plugin_support::callbacks::export_callbacks!(Channel);
