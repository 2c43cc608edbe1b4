//! Options of the plugin host.

use std::path::PathBuf;

use pricedrop_model::plugin::PolicyIdentity;

use crate::access_check::AccessCheck;
use crate::limits::Limits;

/// The plugin folder, the plugins to use, and their limits.
#[derive(Debug, Clone)]
pub struct Options {
    /// The plugin folder. It may be missing.
    pub folder: PathBuf,
    /// The folder of compiled code and last-good files. `None` means nothing is stored, and every start
    /// compiles again.
    pub data_dir: Option<PathBuf>,
    /// The file stem of the bucketing policy to use. `None` means the only one in the folder.
    pub bucketing: Option<String>,
    /// The file stem of the throttling policy to use. `None` means the only one in the folder.
    pub throttling: Option<String>,
    /// The policy whose buckets are stored. `None` means no buckets were written yet.
    pub active_policy: Option<PolicyIdentity>,
    /// Whether [`Host::watch`](crate::Host::watch) reloads changed plugins.
    pub reload: bool,
    /// SHA-256 of the `.wasm` files that may be loaded, hexadecimal. `None` means all.
    pub allow_digests: Option<Vec<String>>,
    /// The check of a sidecar's hosts, credentials and mail account; none: they are not checked.
    pub access_check: Option<AccessCheck>,
    /// How long the folder must be unchanged before it is read, milliseconds.
    pub debounce_ms: u64,
    /// Interval at which the folder is listed without an event, milliseconds.
    pub poll_ms: u64,
    /// The limits of every plugin, unless its sidecar sets others.
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
            access_check: None,
            debounce_ms: 150,
            poll_ms: 5_000,
            limits: Limits::default(),
        }
    }
}
