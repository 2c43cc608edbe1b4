//! `pricedrop config`.

use std::io::Write;

use crate::config::{self, Config};
use crate::report::Stopped;

/// Prints a complete file.
///
/// # Errors
/// Nobody reads it.
pub fn example() -> Result<(), Stopped> {
    Ok(anstream::stdout().write_all(config::example().as_bytes())?)
}

/// Prints the JSON Schema of the file.
///
/// # Errors
/// Nobody reads it.
pub fn schema() -> Result<(), Stopped> {
    Ok(anstream::stdout().write_all(config::json_schema().as_bytes())?)
}

/// Says that a configuration that was read is right, and what it leads to.
///
/// # Errors
/// The token cannot be read, or one is missing.
pub fn check(config: &Config) -> Result<(), Stopped> {
    let http = config.http_options()?;
    http.check().map_err(|error| Stopped::usage(&error, error.remedy()))?;
    let mut out = anstream::stdout();
    match config.file() {
        Some(file) => writeln!(out, "{} is right", file.display())?,
        None => writeln!(out, "no file; every field has its default or comes from the environment")?,
    }
    writeln!(out, "rules     {} watches", config.matching_rules().mode)?;
    writeln!(out, "plugins   {}", config.plugin_folder().display())?;
    writeln!(out, "data      {}", config.data.folder.display())?;
    let guarded = if http.token.is_some() { "with a token" } else { "without a token, loopback only" };
    writeln!(out, "http      {} {guarded}", config.http.listen.as_str())?;
    Ok(())
}
