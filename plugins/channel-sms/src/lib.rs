//! Sends every notification as a text message through an API compatible with Twilio's.

mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/channel",
        world: "channel-plugin-with-callbacks",
        with: { "pricedrop:types/types@0.1.0": pricedrop_plugin_support::types },
        generate_all,
    });
}
mod classify;
mod form;
mod phone;
mod receive;
mod segments;
mod sender;
mod text_message;

use bindings::exports::pricedrop::channel::callbacks::{self, Received, Request};
use bindings::exports::pricedrop::channel::channel::{
    Answer, Classification, Description, Guest, Message, Outgoing, Refusal, Template,
};
use pricedrop_plugin_support::types::{About, Problem, Setting, SettingSpec, Value};
use pricedrop_plugin_support::{Settings, spec};
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
        let templates = templates.into_iter().map(|it| (it.locale, it.part, it.text)).collect();
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
        spec(
            "link-hosts",
            "The hosts a product's link may lead to; none named: any.",
            Value::Words(Vec::new()),
        ),
        spec(
            "default-locale",
            "The locale of recipients who have none, or one without templates.",
            Value::Text("en".into()),
        ),
    ]
}

// The names of exports hold an @, which native linkers take for a version.
#[cfg(target_arch = "wasm32")]
bindings::export!(Channel with_types_in bindings);
