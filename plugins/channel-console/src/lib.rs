//! Writes every notification as one line; for trying out and for pipes.

mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/channel",
        world: "channel-plugin",
        with: { "pricedrop:types/types@0.1.0": pricedrop_plugin_support::types },
        generate_all,
    });
}

use bindings::exports::pricedrop::channel::channel::{
    Answer, Classification, Description, Guest, Item, Message, Outgoing, Refusal, Template,
};
use std::sync::OnceLock;

use pricedrop_plugin_support::types::{About, Problem, Setting, Value};
use pricedrop_plugin_support::{Settings, no_templates, one_line, plain_address, spec};

/// Longer lines help nobody at a terminal.
const LINE_CHARS_MAX: usize = 1024;

static PREFIX: OnceLock<String> = OnceLock::new();

/// The plugin.
pub struct Channel;

/// For example `u1 told about P7: $79.90 <= $80.00, was $95.00`.
/// The items of a digest stand behind each other on the same line.
fn line(message: &Message) -> String {
    let prefix = PREFIX.get().map_or("", String::as_str);
    let items: Vec<String> = message.items.iter().map(item).collect();
    one_line(&format!("{prefix}{} told about {}", message.to.user, items.join("; ")), LINE_CHARS_MAX)
}

fn item(item: &Item) -> String {
    let mut text = format!("{}: {}", item.product, item.new_price.text);
    if let Some(watch_price) = &item.watch_price {
        text += &format!(" <= {}", watch_price.text);
    }
    if let Some(previous_price) = &item.previous_price {
        text += &format!(", was {}", previous_price.text);
    }
    text
}

impl Guest for Channel {
    fn describe() -> Description {
        let about = About {
            id: "channel-console".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Writes every notification as one line on standard output.".into(),
            settings: vec![spec("prefix", "What every line begins with.", Value::Text(String::new()))],
        };
        Description { about, address_kind: "user".into() }
    }

    fn configure(settings: Vec<Setting>, templates: Vec<Template>) -> Result<(), Vec<Problem>> {
        no_templates(templates.iter().map(|template| template.part.as_str()))?;
        let prefix = Settings::new(settings).text("prefix").map_err(|problem| vec![problem])?;
        PREFIX.get_or_init(|| prefix);
        Ok(())
    }

    fn normalize(addresses: Vec<String>) -> Vec<Result<String, String>> {
        addresses.iter().map(|address| plain_address(address)).collect()
    }

    fn render(messages: Vec<Message>) -> Vec<Result<Outgoing, Refusal>> {
        messages.iter().map(|message| Ok(Outgoing::Line(line(message)))).collect()
    }

    fn classify(answers: Vec<Answer>) -> Vec<Classification> {
        answers.iter().map(|_| Classification::Standard).collect()
    }
}

// The names of exports hold an @, which native linkers take for a version.
#[cfg(target_arch = "wasm32")]
bindings::export!(Channel with_types_in bindings);
