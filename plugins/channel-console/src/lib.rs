//! Writes every notification as one line; for trying out and for pipes.

mod line;

use line::Lines;
use pricedrop_plugin_support::channel::{
    Answer, Classification, Description, Guest, Message, Outgoing, Refusal, Template,
};
use pricedrop_plugin_support::templates::Templates;
use pricedrop_plugin_support::types::{About, Problem, Setting, Value};
use pricedrop_plugin_support::{Settings, plain_address, spec};
use std::cell::OnceCell;

thread_local! {
    static LINES: OnceCell<Lines> = const { OnceCell::new() };
}

/// The plugin.
pub struct Channel;

impl Guest for Channel {
    fn describe() -> Description {
        let about = About {
            id: "channel-console".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Writes every notification as one line on standard output.".into(),
            settings: vec![
                spec("prefix", "What every line begins with.", Value::Text(String::new())),
                Templates::default_locale_spec(),
            ],
        };
        Description { about, address_kind: "user".into() }
    }

    fn configure(settings: Vec<Setting>, templates: Vec<Template>) -> Result<(), Vec<Problem>> {
        let lines = Lines::new(&Settings::new(settings), templates)?;
        LINES.with(|cell| cell.set(lines).ok());
        Ok(())
    }

    fn normalize(addresses: Vec<String>) -> Vec<Result<String, String>> {
        addresses.iter().map(|address| plain_address(address)).collect()
    }

    fn render(messages: Vec<Message>) -> Vec<Result<Outgoing, Refusal>> {
        LINES.with(|cell| {
            let lines = cell.get().expect("the host configures first");
            messages.iter().map(|message| lines.render(message).map(Outgoing::Line)).collect()
        })
    }

    fn classify(answers: Vec<Answer>) -> Vec<Classification> {
        answers.iter().map(|_| Classification::Standard).collect()
    }
}

// The names of exports hold an @, which native linkers take for a version.
#[cfg(target_arch = "wasm32")]
pricedrop_plugin_support::channel::export_channel!(Channel);
