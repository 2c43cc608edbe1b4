//! How a host is set up.

use std::path::PathBuf;

use pricedrop_model::plugin::PolicyIdentity;

use crate::limits::Limits;

/// The folder, what of it serves, and the limits.
#[derive(Debug, Clone)]
pub struct Options {
    /// The plugin folder. It need not exist.
    pub folder: PathBuf,
    /// Where compiled code and last-good pairs are kept; none: nothing is
    /// kept, and every start compiles anew.
    pub data_dir: Option<PathBuf>,
    /// The file stem of the bucketing policy to use; none: the only one there is.
    pub bucketing: Option<String>,
    /// The file stem of the throttling policy to use; none: the only one there is.
    pub throttling: Option<String>,
    /// The policy whose buckets are served; none: none was ever written.
    pub active_policy: Option<PolicyIdentity>,
    /// Whether [`Host::watch`](crate::Host::watch) follows the folder.
    pub reload: bool,
    /// SHA-256 of the `.wasm` files that may be loaded; none: all may.
    pub allow_digests: Option<Vec<String>>,
    /// How long the folder must be quiet before it is read, milliseconds.
    pub debounce_ms: u64,
    /// How often the folder is looked at without any hint, milliseconds.
    pub poll_ms: u64,
    /// The limits of every plugin whose sidecar names none.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            folder: "plugins".into(),
            data_dir: None,
            bucketing: None,
            throttling: None,
            active_policy: None,
            reload: true,
            allow_digests: None,
            debounce_ms: 150,
            poll_ms: 5_000,
            limits: Limits::default(),
        }
    }
}
