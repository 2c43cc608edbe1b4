//! The commands, one file each.

pub mod archive;
pub mod buckets;
pub mod config;
pub mod dlq;
pub mod doctor;
mod findings;
mod import;
mod listing;
pub mod notifications;
pub mod offsets;
pub mod plugin;
mod preview;
mod progress;
pub mod recipient;
pub mod replay;
pub mod schema;
pub mod simulate;
pub mod store;
pub mod topics;
pub mod watch;

use crate::report::CliError;

/// Refuses a command whose server is not configured.
fn needs(configured: bool, field: &str, server: &str) -> Result<(), CliError> {
    match configured {
        true => Ok(()),
        false => Err(CliError::usage(
            format!("{field} is not \"{server}\", so there is nothing to check"),
            format!("name a configuration with --config that sets {field} = \"{server}\""),
        )),
    }
}
