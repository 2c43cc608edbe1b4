//! Sends every notification as a mail of plain text and HTML.

mod letter;

use letter::Letter;
use pricedrop_plugin_support::channel::{
    Answer, BadRecipient, Classification, Description, Guest, Message, Outgoing, Refusal, Reply, Template,
};
use pricedrop_plugin_support::templates::Templates;
use pricedrop_plugin_support::types::{About, Problem, Setting, Value};
use pricedrop_plugin_support::{LinkHosts, Settings, spec};
use std::cell::OnceCell;

thread_local! {
    static LETTER: OnceCell<Letter> = const { OnceCell::new() };
}

/// The plugin.
pub struct Channel;

/// RFC 3463: the addresses that do not exist, no longer exist or cannot be read.
const BAD_MAILBOX: [&str; 5] = ["5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10"];

impl Guest for Channel {
    fn describe() -> Description {
        let about = About {
            id: "channel-email".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Sends every notification as a mail of plain text and HTML.".into(),
            settings: vec![
                spec("subject-prefix", "What every subject begins with.", Value::Text("Price drop:".into())),
                spec(
                    "footer",
                    "The last line of every mail; empty: none.",
                    Value::Text("You get this mail because you watch this product.".into()),
                ),
                LinkHosts::spec(),
                Templates::default_locale_spec(),
            ],
        };
        Description { about, address_kind: "mail".into() }
    }

    fn configure(settings: Vec<Setting>, templates: Vec<Template>) -> Result<(), Vec<Problem>> {
        let letter = Letter::new(&Settings::new(settings), templates)?;
        LETTER.with(|cell| cell.set(letter).ok());
        Ok(())
    }

    fn normalize(addresses: Vec<String>) -> Vec<Result<String, String>> {
        addresses.iter().map(|address| letter::normalize(address)).collect()
    }

    fn render(messages: Vec<Message>) -> Vec<Result<Outgoing, Refusal>> {
        LETTER.with(|cell| {
            let letter = cell.get().expect("the host configures first");
            messages.iter().map(|message| letter.render(message).map(Outgoing::Mail)).collect()
        })
    }

    fn classify(answers: Vec<Answer>) -> Vec<Classification> {
        answers.into_iter().map(|answer| classification(answer.reply)).collect()
    }
}

fn classification(reply: Reply) -> Classification {
    match reply {
        Reply::Smtp((500.., text)) if is_bad_mailbox(&text) => {
            Classification::BadRecipient(BadRecipient { reason: text, since_ms: None })
        }
        _ => Classification::Standard,
    }
}

/// The bare code 550 also means "refused by policy", so only the enhanced one counts.
fn is_bad_mailbox(text: &str) -> bool {
    text.split_whitespace().next().is_some_and(|status| BAD_MAILBOX.contains(&status))
}

// The names of exports hold an @, which native linkers take for a version.
#[cfg(target_arch = "wasm32")]
pricedrop_plugin_support::channel::export_channel!(Channel);
