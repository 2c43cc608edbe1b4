//! What the core asks of plugins, in plain types. The host implements these
//! traits over WASM; tests and benchmarks also implement them natively. What it
//! asks of a channel is in [`crate::channel`].
//!
//! A caller takes the plugins it needs once per batch and keeps them from
//! decision to commit, so that a batch sees one generation.

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
