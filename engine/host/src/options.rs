//! How a host is set up, and its start.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use pricedrop_model::plugin::PolicyIdentity;

use crate::cache::Cache;
use crate::engine::Engine;
use crate::error::{Error, Kind};
use crate::host::{Host, Shared};
use crate::last_good::LastGood;
use crate::limits::Limits;
use crate::load::Workshop;
use crate::metrics::Metrics;
use crate::slots::Slots;

/// How a host is set up.
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
    /// Whether [`Host::watch`] follows the folder.
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

impl Options {
    /// Loads the plugins of the folder.
    ///
    /// # Errors
    /// Two of a kind and none named; a named one missing or unusable, with no
    /// last-good pair to serve instead; no private data folder.
    pub fn build(self) -> Result<Host, Error> {
        let engine = Engine::new()?;
        let subfolder = |name: &str| self.data_dir.as_ref().map(|folder| folder.join(name));
        let cache = subfolder("compiled").map(|folder| Cache::open(folder, &engine)).transpose()?;
        let kept = LastGood::open(subfolder("last-good"))?;
        let workshop = Workshop {
            engine,
            cache,
            limits: self.limits.clone(),
            allow_digests: self.allow_digests.clone(),
        };
        let named = [(Kind::Bucketing, &self.bucketing), (Kind::Throttling, &self.throttling)];
        let named: BTreeMap<Kind, String> =
            named.into_iter().filter_map(|(kind, stem)| Some((kind, stem.clone()?))).collect();
        let slots = Slots { named, active: self.active_policy.clone(), ..Slots::default() };
        let shared = Arc::new(Shared {
            options: self,
            metrics: Metrics::default(),
            workshop,
            kept,
            table: ArcSwap::default(),
            slots: Mutex::new(slots),
            loading: Mutex::new(()),
        });
        shared.start()?;
        Ok(Host { shared })
    }
}
