//! The plugin host: reads the plugin folder, loads changed plugins, and replaces the plugins that
//! serve.
//!
//! ```text
//!  folder ─▶ read files ─▶ load and check ─▶ install in its entry ─▶ publish ─▶ serving
//!                          │ refused          │ on probation             │
//!                          ▼                  ▼                          ▼
//!                 the old one serves    last-good store ◀─ rolled back  callers
//! ```
//!
//! Invariant: plugins are loaded without the lock of the registry, and called without any lock. A
//! caller keeps the generation that it took.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use arc_swap::ArcSwap;
use pricedrop_model::channel::Channel;
use pricedrop_model::plugin::{Bucketing, Plugins, PolicyIdentity, Throttling};
use pricedrop_model::sync::lock;
use prometheus_client::registry::Registry;

use crate::cache::Cache;
use crate::digest::Digest;
use crate::engine::Engine;
use crate::error::{Error, LoadError, nearest};
use crate::files::PluginFiles;
use crate::folder::{Listing, ReadError, read_files};
use crate::last_good::LastGood;
use crate::load::Loader;
use crate::loaded::Loaded;
use crate::metrics::Metrics;
use crate::options::Options;
use crate::registry::{PluginRegistry, Serving};
use crate::status::{ignored_candidates, status_of};
use pricedrop_model::plugin::Kind;
use pricedrop_model::plugin::Status;

/// The plugin host. Clones share one state.
#[derive(Clone)]
pub struct Host {
    pub(crate) shared: Arc<Shared>,
}

impl Host {
    /// Reads the folder and replaces changed plugins; returns when this is done. [`Host::watch`]
    /// does the same on every change.
    pub fn reload(&self) {
        self.shared.read_folder();
    }

    /// Returns the status of every plugin.
    pub fn status(&self) -> Status {
        status_of(&self.shared.registry(), &self.shared.serving.load(), &self.shared.metrics)
    }

    /// Registers the metrics of the plugins.
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.shared.metrics.register(registry);
    }

    /// The policy whose buckets are read: that of the options, the first one loaded, or a later one
    /// with the same mapping.
    pub fn active_policy(&self) -> Option<PolicyIdentity> {
        self.shared.registry().active.clone()
    }

    /// Makes this policy the active one. Call it after a migration has written its buckets.
    pub fn set_active_policy(&self, policy: PolicyIdentity) {
        let mut registry = self.shared.registry();
        registry.active = Some(policy);
        self.shared.publish(&mut registry);
    }

    /// Returns the policy that waits for a migration of the buckets; none if there is no such
    /// policy.
    pub fn staged_policy(&self) -> Option<Arc<dyn Bucketing>> {
        let registry = self.shared.registry();
        match registry.chosen_entry(Kind::Bucketing)?.current.clone()? {
            Loaded::Bucketing(policy) if !registry.has_active_mapping(&policy.identity) => Some(policy),
            _ => None,
        }
    }
}

impl Plugins for Host {
    fn bucketing(&self) -> Option<Arc<dyn Bucketing>> {
        self.shared.serving.load().bucketing.clone().map(|policy| policy as Arc<dyn Bucketing>)
    }

    fn throttling(&self) -> Option<Arc<dyn Throttling>> {
        self.shared.serving.load().throttling.clone().map(|policy| policy as Arc<dyn Throttling>)
    }

    fn channel(&self, name: &str) -> Option<Arc<dyn Channel>> {
        self.shared.serving.load().channels.get(name).cloned().map(|channel| channel as Arc<dyn Channel>)
    }
}

impl Options {
    /// Starts a host and loads the plugins of the folder.
    ///
    /// # Errors
    /// Two plugins of one kind and none configured; a configured plugin missing or refused, without
    /// last-good files; a data folder that cannot be made private; no thread or engine.
    pub fn build(self) -> Result<Host, Error> {
        let engine = Engine::new()?;
        let subfolder = |name: &str| self.data_dir.as_ref().map(|folder| folder.join(name));
        let cache = subfolder("compiled").map(|folder| Cache::open(folder, &engine)).transpose()?;
        let last_good = LastGood::open(subfolder("last-good"))?;
        let loader =
            Loader { engine, cache, limits: self.limits.clone(), allow_digests: self.allow_digests.clone() };
        let named = [(Kind::Bucketing, &self.bucketing), (Kind::Throttling, &self.throttling)];
        let named: BTreeMap<Kind, String> =
            named.into_iter().filter_map(|(kind, stem)| Some((kind, stem.clone()?))).collect();
        let registry =
            PluginRegistry { named, active: self.active_policy.clone(), ..PluginRegistry::default() };
        let shared = Arc::new(Shared {
            options: self,
            metrics: Metrics::default(),
            loader,
            last_good,
            serving: ArcSwap::default(),
            registry: Mutex::new(registry),
            loading: Mutex::new(()),
        });
        shared.start()?;
        Ok(Host { shared })
    }
}

/// The state that the clones of a host share.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) metrics: Metrics,
    pub(crate) loader: Loader,
    pub(crate) last_good: LastGood,
    pub(crate) serving: ArcSwap<Serving>,
    pub(crate) registry: Mutex<PluginRegistry>,
    /// Locked while the folder is read, so that one thread at a time reads it.
    pub(crate) loading: Mutex<()>,
}

impl Shared {
    pub(crate) fn registry(&self) -> MutexGuard<'_, PluginRegistry> {
        lock(&self.registry)
    }

    pub(crate) fn publish(&self, registry: &mut PluginRegistry) {
        self.serving.store(Arc::new(registry.choose_serving()));
    }

    /// Reads the folder for the first time, loads last-good files in place of refused ones, and
    /// checks that the configured plugins exist.
    pub(crate) fn start(self: &Arc<Shared>) -> Result<(), Error> {
        self.read_folder();
        for stem in self.last_good.stems() {
            self.load_last_good(&stem);
        }
        let mut registry = self.registry();
        self.publish(&mut registry);
        for kind in [Kind::Bucketing, Kind::Throttling] {
            check_choice(&registry, kind, &self.options.folder)?;
        }
        Ok(())
    }

    /// Loads the last-good files of a stem: as its current generation if the folder gave none, else
    /// as the previous generation, to which it may be rolled back.
    fn load_last_good(self: &Arc<Shared>, stem: &str) {
        let stored = self.last_good.entry(stem);
        let wanted = {
            let registry = self.registry();
            let entry = registry.by_stem.get(stem);
            let named = registry.named.values().any(|named| named == stem);
            let needed = named || !registry.folder_problems.is_empty() || entry.is_some();
            match entry.and_then(|entry| entry.current.as_ref()) {
                None if needed => [stored.current.clone(), stored.previous.clone()],
                None => [None, None],
                Some(loaded) => {
                    let digest = &loaded.meta().digest;
                    [stored.current, stored.previous]
                        .map(|written| written.filter(|written| written != digest))
                }
            }
        };
        for digest in wanted.into_iter().flatten() {
            let Some(loaded) = self.load_stored(stem, &digest) else { continue };
            let mut registry = self.registry();
            let entry = registry.by_stem.entry(stem.to_owned()).or_default();
            loaded.health().serve(self.probation_observer(), stored.proven);
            if entry.current.is_none() {
                entry.removed = entry.seen.is_none();
                entry.from_last_good = true;
                entry.current = Some(loaded);
            } else if entry.previous.is_none() {
                entry.previous = Some(loaded);
            }
        }
    }

    fn load_stored(&self, stem: &str, digest: &Digest) -> Option<Loaded> {
        if self.last_good.rejected(stem, digest).is_some() {
            return None;
        }
        let files = self.last_good.files(stem, digest)?;
        self.loader
            .load(&files, self.metrics.plugin(stem))
            .inspect_err(|error| tracing::warn!("last-good files {}: {error}", digest.short()))
            .ok()
    }

    /// Reads the folder and replaces changed plugins. Returns whether every file could be read; if
    /// not, some were changing, and the caller reads again once the folder is quiet.
    pub(crate) fn read_folder(self: &Arc<Shared>) -> bool {
        let _once = lock(&self.loading);
        let listing = Listing::of(&self.options.folder);
        self.record_folder_problems(&listing);
        let mut complete = true;
        for stem in listing.stems() {
            complete &= self.load_stem(&listing, stem);
        }
        let mut registry = self.registry();
        self.publish(&mut registry);
        let ignored = KINDS.iter().filter_map(|kind| ignored_candidates(&registry, *kind)).collect();
        let before = std::mem::replace(&mut registry.ignored, ignored);
        for warning in registry.ignored.iter().filter(|warning| !before.contains(warning)) {
            tracing::warn!("{warning}");
        }
        complete
    }

    /// Whether the folder must be read again although it did not change.
    pub(crate) fn has_refused_access(&self) -> bool {
        self.registry().by_stem.values().any(|entry| entry.access_refused && !entry.removed)
    }

    /// Records problems of the folder as a whole, and which plugins were removed from it.
    fn record_folder_problems(&self, listing: &Listing) {
        let folder = self.options.folder.display();
        let mut registry = self.registry();
        let mut problems = Vec::new();
        if let Some(reason) = &listing.missing {
            problems.push(format!("plugin folder {folder}: {reason}"));
        }
        if listing.truncated {
            problems.push(format!("plugin folder {folder}: too many files; some were ignored"));
        }
        for name in listing.irregular.iter().filter(|name| name.ends_with(".wasm")) {
            problems.push(format!("{name}: it is not a regular file; it is ignored"));
        }
        for orphan in listing.orphans() {
            problems.push(format!("{orphan}: there is no {} beside it", orphan.replace(".toml", ".wasm")));
        }
        for problem in problems.iter().filter(|problem| !registry.folder_problems.contains(problem)) {
            tracing::warn!("{problem}");
        }
        registry.folder_problems = problems;
        let present: Vec<&str> = listing.stems().collect();
        registry.by_stem.retain(|stem, entry| present.contains(&stem.as_str()) || entry.current.is_some());
        for (stem, entry) in &mut registry.by_stem {
            if present.contains(&stem.as_str()) || entry.removed {
                continue;
            }
            tracing::warn!(
                "{stem}.wasm was removed from the plugin folder; its last good version keeps serving"
            );
            (entry.removed, entry.seen, entry.problem) = (true, None, None);
        }
    }

    /// Reads the files of one plugin, and loads or refuses them if they are new. Returns false if
    /// they were changing.
    fn load_stem(self: &Arc<Shared>, listing: &Listing, stem: &str) -> bool {
        let most = self.options.limits.wasm_bytes.max(FILE_BYTES);
        let files = match read_files(&self.options.folder, listing, stem, most) {
            Ok(files) => files,
            Err(ReadError::Changing) => return false,
            Err(ReadError::Refused(error)) => {
                self.refuse(stem, None, error);
                return true;
            }
        };
        let check = self.options.access_check.as_ref();
        let access = check.map_or(Ok(()), |check| check.check(&files, &self.options.limits));
        self.registry().by_stem.entry(stem.to_owned()).or_default().access_refused = access.is_err();
        if let Err(error) = access {
            self.refuse(stem, None, error);
            return true;
        }
        let digest = files.digest();
        if self.is_known(stem, &digest) {
            return true;
        }
        if let Some(reason) = self.last_good.rejected(stem, &digest) {
            let reason = format!("it failed in service before: {reason}");
            let error =
                LoadError::of_file(format!("{stem}.wasm"), reason, "change the file to load it again");
            self.refuse(stem, Some(digest), error);
            return true;
        }
        let loaded = self.loader.load(&files, self.metrics.plugin(stem));
        let loaded = loaded.and_then(|loaded| self.check_compatible(stem, loaded));
        match loaded {
            Ok(loaded) => self.accept(&files, loaded),
            Err(error) => self.refuse(stem, Some(digest), error),
        }
        true
    }

    /// Returns whether these files were already loaded or refused, or are the current generation.
    fn is_known(&self, stem: &str, digest: &Digest) -> bool {
        let mut registry = self.registry();
        let entry = registry.by_stem.entry(stem.to_owned()).or_default();
        entry.removed = false;
        if entry.seen.as_ref() == Some(digest) {
            return true;
        }
        let serves = entry.current.as_ref().is_some_and(|current| current.meta().digest == *digest);
        if serves {
            (entry.seen, entry.problem, entry.from_last_good) = (Some(digest.clone()), None, false);
        }
        serves
    }

    /// Checks that a stem keeps its kind, and that a policy identity keeps its fingerprint.
    fn check_compatible(&self, stem: &str, loaded: Loaded) -> Result<Loaded, LoadError> {
        let registry = self.registry();
        let before = registry.by_stem.get(stem).and_then(|entry| entry.kind());
        let file = || format!("{stem}.wasm");
        if let Some(before) = before.filter(|before| *before != loaded.kind()) {
            let reason = format!("is a {} plugin, but {stem} was a {before} plugin", loaded.kind());
            return Err(LoadError::of_file(file(), reason, "use another file name"));
        }
        let Some(policy) = loaded.policy() else { return Ok(loaded) };
        let active = registry.active.as_ref().filter(|active| active.name == policy.name);
        let other_active = active.is_some_and(|active| active.fingerprint != policy.fingerprint);
        if other_active || self.last_good.other_fingerprint(policy).is_some() {
            let reason =
                format!("maps prices differently than {} before, under the same identity", policy.name);
            return Err(LoadError::of_function(
                file(),
                "bucket-of",
                reason,
                "raise the version that `describe` returns",
            ));
        }
        Ok(loaded)
    }

    fn accept(self: &Arc<Shared>, files: &PluginFiles, loaded: Loaded) {
        let digest = files.digest();
        self.last_good.store(files);
        if let Some(policy) = loaded.policy() {
            self.last_good.remember_policy(policy);
        }
        let stored = self.last_good.entry(&files.stem);
        let proven = stored.proven && stored.current.as_ref() == Some(&digest);
        loaded.health().serve(self.probation_observer(), proven);
        tracing::info!(plugin = %loaded.meta().name, kind = %loaded.kind(), file = %files.stem, digest = digest.short(), "loaded");
        let mut registry = self.registry();
        registry.install(&files.stem, loaded);
        let entry = registry.by_stem.entry(files.stem.clone()).or_default();
        (entry.seen, entry.problem, entry.from_last_good) = (Some(digest.clone()), None, false);
        self.metrics.plugin(&files.stem).reloads.inc();
        let in_memory = entry.previous.as_ref().map(|previous| previous.meta().digest.clone());
        // At the start, the previous generation is not in memory yet.
        let previous = in_memory.or(stored.current.filter(|before| *before != digest)).or(stored.previous);
        self.last_good.record(&files.stem, Some(&digest), proven, previous.as_ref());
        self.publish(&mut registry);
    }

    fn refuse(&self, stem: &str, digest: Option<Digest>, error: LoadError) {
        let mut registry = self.registry();
        let entry = registry.by_stem.entry(stem.to_owned()).or_default();
        let serving =
            entry.current.as_ref().map(|current| format!("; {} keeps serving", current.meta().name));
        let problem = format!("{error}{}", serving.unwrap_or_default());
        if entry.problem.as_ref() != Some(&problem) {
            tracing::error!("{problem}");
            self.metrics.plugin(stem).refusals.inc();
        }
        (entry.problem, entry.seen, entry.removed) = (Some(problem), digest, false);
    }
}

/// The kinds of plugins of which only one can be active.
const KINDS: [Kind; 2] = [Kind::Bucketing, Kind::Throttling];

/// Longest `.wasm` file that is read, bytes, unless the configured `wasm_bytes` is higher. A
/// sidecar may raise the limit up to it.
pub(crate) const FILE_BYTES: u64 = 256 << 20;

/// Checks that the host may start with the plugins chosen for this kind.
fn check_choice(registry: &PluginRegistry, kind: Kind, folder: &Path) -> Result<(), Error> {
    let candidates = registry.candidates(kind);
    let Some(named) = registry.named.get(&kind) else {
        return match candidates.len() {
            0 | 1 => Ok(()),
            _ => Err(Error::TwoCandidates { kind, stems: candidates }),
        };
    };
    match registry.by_stem.get(named) {
        Some(entry) if entry.kind() == Some(kind) => Ok(()),
        Some(entry) => {
            let is = entry.kind().map(|is| format!("is a {is} plugin, but configured as the {kind} plugin"));
            let reason = entry.problem.clone().or(is).unwrap_or_else(|| "could not be read".into());
            Err(LoadError::of_file(format!("{kind} = \"{named}\""), reason, "").into())
        }
        None => {
            let stems = registry.by_stem.keys().map(String::as_str);
            let nearest = nearest(named, stems).map(str::to_owned);
            Err(Error::NamedMissing { kind, stem: named.clone(), folder: folder.to_owned(), nearest })
        }
    }
}
