//! The roles of the engine that this process runs.

use crate::cli;
use crate::config::Config;

/// The roles of this process.
#[derive(Debug, Clone, Copy)]
pub struct RunRoles {
    /// Turns updates into notifications.
    pub notifier: bool,
    /// Delivers notifications.
    pub dispatcher: bool,
    /// Copies topics into the archive.
    pub archiver: bool,
    /// Runs as a shadow: publishes, sends and deletes nothing.
    pub shadow: bool,
}

impl RunRoles {
    /// Returns the roles that the command line asks for and the configuration enables.
    pub fn of(config: &Config, run: &cli::Run) -> RunRoles {
        let only = |role| run.role.is_none_or(|named| named == role);
        RunRoles {
            notifier: only(cli::Role::Notifier),
            dispatcher: only(cli::Role::Dispatcher) && config.dispatch.enabled && !run.shadow,
            archiver: only(cli::Role::Archiver) && config.archive_is_on() && !run.shadow,
            shadow: run.shadow,
        }
    }
}
