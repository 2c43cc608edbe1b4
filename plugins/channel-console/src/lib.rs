//! Writes every notification as one line; for trying out and for pipes.

mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/channel",
        with: { "pricedrop:types/types@0.1.0": pricedrop_plugin_support::types },
        generate_all,
    });
}

use bindings::exports::pricedrop::channel::channel::{Delivery, Guest, Outgoing, Refusal, Reply, Verdict};
use std::sync::OnceLock;

use pricedrop_plugin_support::types::{About, Problem, Setting, Value};
use pricedrop_plugin_support::{Settings, one_line, spec};

/// Longer lines help nobody at a terminal.
const LINE_CHARS_MAX: usize = 1024;

static PREFIX: OnceLock<String> = OnceLock::new();

/// The plugin.
pub struct Channel;

/// For example `u1 told about P7: $79.90 <= $80.00, was $95.00`.
fn line(delivery: &Delivery) -> String {
    let prefix = PREFIX.get().map_or("", String::as_str);
    let Delivery { to, product, new_price, .. } = delivery;
    let mut line = format!("{prefix}{} told about {product}: {}", to.user, new_price.text);
    if let Some(watch_price) = &delivery.watch_price {
        line += &format!(" <= {}", watch_price.text);
    }
    if let Some(previous_price) = &delivery.previous_price {
        line += &format!(", was {}", previous_price.text);
    }
    one_line(&line, LINE_CHARS_MAX)
}

impl Guest for Channel {
    fn describe() -> About {
        About {
            id: "channel-console".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Writes every notification as one line on standard output.".into(),
            settings: vec![spec("prefix", "What every line begins with.", Value::Text(String::new()))],
        }
    }

    fn configure(settings: Vec<Setting>) -> Result<(), Vec<Problem>> {
        let prefix = Settings::new(settings).text("prefix").map_err(|problem| vec![problem])?;
        PREFIX.get_or_init(|| prefix);
        Ok(())
    }

    fn render(deliveries: Vec<Delivery>) -> Vec<Result<Outgoing, Refusal>> {
        deliveries.iter().map(|delivery| Ok(Outgoing::Line(line(delivery)))).collect()
    }

    fn judge(_delivery: Delivery, _reply: Reply, _step: u32) -> Verdict {
        Verdict::Standard
    }
}

// The names of exports hold an @, which native linkers take for a version.
#[cfg(target_arch = "wasm32")]
bindings::export!(Channel with_types_in bindings);
