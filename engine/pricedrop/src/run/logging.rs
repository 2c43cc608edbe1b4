//! Starts the engine's log, on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{Config, LogFormat};
use crate::report::CliError;

/// The default filter, before `log.level`. The driver repeats Cassandra's warnings of large
/// batches, and every batch of an import is that large by intention.
const QUIET: &str = "scylla::network::connection=error";

/// Starts the log as `[log]` configures it.
///
/// # Errors
/// `log.level` is invalid.
pub fn start(config: &Config) -> Result<(), CliError> {
    let level = &config.log.level;
    let filter = EnvFilter::try_new(format!("{QUIET},{level}")).map_err(|error| {
        CliError::usage(format!("log.level {level:?}: {error}"), "write error, warn, info, debug or trace")
    })?;
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    // tracing reports a failed write on standard error. If that is what fails, for example on a
    // full disk, printing panics in the thread that logs; so write errors are ignored.
    let log = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(filter)
        .with_ansi(colours)
        .log_internal_errors(false);
    // If the process has a logger already, it stays.
    let _ = match config.log.format {
        LogFormat::Json => log.json().try_init(),
        LogFormat::Text => log.try_init(),
    };
    Ok(())
}
