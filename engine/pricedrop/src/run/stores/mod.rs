//! Builds the adapters that `[stores]` chooses, behind the ports. The rest of `run` is
//! the same for all of them.
//!
//! ```text
//! open(config) ─▶ policies ─▶ (plugins are loaded) ─▶ build ─▶ Stores
//! ```

mod adapters;
mod cluster;
pub mod embedded;
mod monitor;
mod roles;

pub use adapters::{Dispatch, Health, Opened, SharedPorts};
pub use roles::RunRoles;

use crate::config::Config;
use crate::report::CliError;

/// Opens the stores that `[stores]` names.
///
/// # Errors
/// A store is unavailable, in use, or does not have the required form.
pub async fn open(config: &Config, roles: RunRoles) -> Result<Box<dyn Opened>, CliError> {
    match config.stores.kafka() {
        true => cluster::open(config, roles).await,
        false => embedded::open(config, roles),
    }
}
