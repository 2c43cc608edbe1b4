//! `pricedrop config`: the example file, the JSON Schema, and the check of a configuration.

use std::io::Write;

use crate::config::{self, Config};
use crate::report::CliError;

/// Prints a complete example file.
///
/// # Errors
/// Standard output cannot be written.
pub fn example() -> Result<(), CliError> {
    Ok(anstream::stdout().write_all(config::example().as_bytes())?)
}

/// Prints the JSON Schema of the configuration file.
///
/// # Errors
/// Standard output cannot be written.
pub fn schema() -> Result<(), CliError> {
    Ok(anstream::stdout().write_all(config::json_schema().as_bytes())?)
}

/// Reports that the configuration, which was read before, is valid; prints its main settings.
///
/// # Errors
/// The token cannot be read, or the address of the API requires a token and none is set.
pub fn check(config: &Config) -> Result<(), CliError> {
    let http = config.http_options()?;
    http.check().map_err(|error| CliError::usage(&error, error.remedy()))?;
    let mut out = anstream::stdout();
    match config.file() {
        Some(file) => writeln!(out, "{} is valid", file.display())?,
        None => writeln!(out, "no file: every key has its default or comes from the environment")?,
    }
    writeln!(out, "rules     {} watches", config.matching_rules().mode)?;
    writeln!(out, "plugins   {}", config.plugin_folder().display())?;
    writeln!(out, "data      {}", config.data.folder.display())?;
    let guarded = if http.token.is_some() { "with a token" } else { "without a token, loopback only" };
    writeln!(out, "http      {} {guarded}", config.http.listen.as_str())?;
    Ok(())
}
