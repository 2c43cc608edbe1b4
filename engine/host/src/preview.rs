//! Renders a sample message with a channel: the command `pricedrop plugin preview`.

use std::path::Path;

use pricedrop_model::channel::{Channel as _, Message, Money, Outgoing, RenderError};
use pricedrop_model::{Currency, Price};

use crate::check::read;
use crate::engine::Engine;
use crate::error::{Error, LoadError};
use crate::limits::Limits;
use crate::load::Loader;
use crate::loaded::Loaded;
use crate::metrics::PluginMetrics;
use crate::samples;

/// A sample message, and what the channel renders.
#[derive(Debug)]
pub struct Preview {
    /// `id@version` of the channel.
    pub channel: String,
    /// The kind of address that the channel sends to.
    pub address_kind: String,
    /// The sample message.
    pub message: Message,
    /// What would be sent, or why the channel refuses the message.
    pub rendered: Result<Outgoing, RenderError>,
}

/// Renders a sample with `items` items, for this address or a sample address of the channel's kind.
/// `money` formats amounts for the recipient's locale.
///
/// # Errors
/// The engine cannot start, the file is refused or is not a channel, there is no sample address, or
/// the plugin fails.
pub fn preview(
    wasm: &Path,
    limits: &Limits,
    (address, locale): (Option<&str>, Option<&str>),
    items: usize,
    money: &dyn Fn(Price, Currency, Option<&str>) -> Money,
) -> Result<Preview, Error> {
    let loader = Loader { engine: Engine::new()?, cache: None, limits: limits.clone(), allow_digests: None };
    let file = wasm.display().to_string();
    let refuse = |reason: String, remedy: &str| LoadError::of_file(file.clone(), reason, remedy);
    let files = read(wasm).map_err(|problem| refuse(problem, ""))?;
    let loaded = loader.load(&files, PluginMetrics::default())?;
    let Loaded::Channel(channel) = loaded else {
        return Err(refuse(format!("is a {} plugin", loaded.kind()), "name a channel").into());
    };
    let kind = channel.address_kind().to_owned();
    let Some(address) = address.or_else(|| samples::address(&kind)) else {
        let reason = format!("sends to addresses of the kind {kind}, for which there is no sample");
        return Err(refuse(reason, "name one with --address").into());
    };
    let message = samples::message(address, locale, items, money);
    let rendered = channel.render(std::slice::from_ref(&message)).pop();
    let rendered = rendered.unwrap_or_else(|| Ok(Err(RenderError::Permanent("no answer".into()))));
    let rendered = rendered.map_err(|error| refuse(error.to_string(), "fix the plugin"))?;
    Ok(Preview { channel: channel.name().to_owned(), address_kind: kind, message, rendered })
}
