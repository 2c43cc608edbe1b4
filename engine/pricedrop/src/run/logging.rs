//! The engine's log, on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{Config, LogFormat};
use crate::report::Stopped;

/// What is not logged unless `log.level` names it: the driver repeats what Cassandra
/// warns of, and that is each batch of an import, which is as large as we mean it
/// to be.
const QUIET: &str = "scylla::network::connection=error";

/// Starts it as `[log]` says.
///
/// # Errors
/// The level is no level.
pub fn start(config: &Config) -> Result<(), Stopped> {
    let level = &config.log.level;
    let filter = EnvFilter::try_new(format!("{QUIET},{level}")).map_err(|error| {
        Stopped::usage(format!("log.level {level:?}: {error}"), "write error, warn, info, debug or trace")
    })?;
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    // A log that cannot be written, on a disk that is full perhaps, must not end
    // the thread that logs: the failure would be printed where printing fails.
    let log = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(filter)
        .with_ansi(colours)
        .log_internal_errors(false);
    // In a process that logs already, that log is kept.
    let _ = match config.log.format {
        LogFormat::Json => log.json().try_init(),
        LogFormat::Text => log.try_init(),
    };
    Ok(())
}
