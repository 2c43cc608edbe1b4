//! `pricedrop plugin`: checks a plugin file, previews a message, lists loaded plugins.

use std::io::Write;
use std::path::Path;

use serde_json::Value;

use super::preview;
use crate::cli;
use crate::client::Client;
use crate::config::Config;
use crate::printable::{printable, printable_json, printable_lines};
use crate::report::CliError;
use crate::run::{access_check, refused};

/// Runs the subcommand.
///
/// # Errors
/// The engine does not respond, or the plugin is refused.
pub fn execute(config: &Config, args: cli::Plugin) -> Result<(), CliError> {
    match args {
        cli::Plugin::Check { file } => check(config, &file),
        cli::Plugin::Preview { channel, locale, address, items } => {
            preview::execute(config, &channel, locale.as_deref(), address.as_deref(), items.into())
        }
        cli::Plugin::List { remote } => {
            let plugins: Value = Client::new(config, &remote)?.get("/v1/plugins", &[])?;
            Ok(writeln!(anstream::stdout(), "{}", printable_json(&format!("{plugins:#}")))?)
        }
    }
}

/// Prints what the plugin is, and every problem with it.
fn check(config: &Config, file: &Path) -> Result<(), CliError> {
    let limits = config.host_options().limits;
    let report = pricedrop_host::check(file, None, &limits, Some(&access_check(config))).map_err(refused)?;
    let mut out = anstream::stdout();
    if let (Some(plugin), Some(kind)) = (&report.plugin, report.kind) {
        writeln!(out, "{}, a {kind} plugin, {} cases", printable(&plugin.to_string()), report.cases)?;
    }
    for (name, value) in [("policy", &report.policy), ("sha256", &report.wasm_digest)] {
        if let Some(value) = value {
            writeln!(out, "{name} {}", printable(&value.to_string()))?;
        }
    }
    for problem in &report.problems {
        eprintln!("{}", printable_lines(&problem.to_string()));
    }
    match report.problems.is_empty() {
        true => Ok(writeln!(out, "no problems were found")?),
        false => Err(CliError::Reported),
    }
}
