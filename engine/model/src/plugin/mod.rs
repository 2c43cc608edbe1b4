//! The ports for plugins, in plain types. The host implements these traits over WASM; tests and
//! benchmarks also implement them natively. The port for channels is in [`crate::channel`].
//!
//! Invariant: a batch uses one generation of each plugin. So a caller takes the plugins it needs
//! once per batch, and keeps them from decision to commit.

mod bucketing;
mod error;
mod plugins;
mod status;
mod throttling;

pub use bucketing::{Bucketing, PolicyIdentity};
pub use error::Error;
pub use plugins::{NoPlugins, Plugins};
pub use status::{Counts, Kind, PluginStatus, State, Status};
pub use throttling::{Answer, Arrival, Decision, Release, Subject, Throttling};
