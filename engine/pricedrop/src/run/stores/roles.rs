//! Which parts of the engine this process runs.

use crate::cli;
use crate::config::Config;

/// What this process is to do.
#[derive(Debug, Clone, Copy)]
pub struct RunRoles {
    /// From updates to notifications.
    pub notifier: bool,
    /// From notifications to deliveries.
    pub dispatcher: bool,
    /// From topics to the archive.
    pub archiver: bool,
    /// Publish, send and delete nothing.
    pub shadow: bool,
}

impl RunRoles {
    /// As the command line and `[dispatch]` say.
    pub fn of(config: &Config, run: &cli::Run) -> RunRoles {
        let only = |role| run.role.is_none_or(|asked| asked == role);
        RunRoles {
            notifier: only(cli::Role::Notifier),
            dispatcher: only(cli::Role::Dispatcher) && config.dispatch.enabled && !run.shadow,
            archiver: only(cli::Role::Archiver) && config.archive_is_on() && !run.shadow,
            shadow: run.shadow,
        }
    }
}
