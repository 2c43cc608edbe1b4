//! Loads a plugin from its files: checks, compiles, links and configures it. Every step can refuse
//! the plugin, with the file, the function, the reason and the remedy.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use pricedrop_model::plugin::PolicyIdentity;
use wasmtime::component::{Component, Linker};

use crate::cache::Cache;
use crate::cases;
use crate::contract::bucketing::{Bucketing, BucketingPolicy};
use crate::contract::channel::{Channel, ChannelPlugin};
use crate::contract::throttling::{Throttling, ThrottlingPolicy};
use crate::contract::{Contract, Description, bindings};
use crate::digest::Digest;
use crate::engine::Engine;
use crate::error::{FIX_PLUGIN, LoadError, OUT_OF_MEMORY, RAISE_MEMORY};
use crate::files::PluginFiles;
use crate::health::Health;
use crate::limits::Limits;
use crate::load_check;
use crate::loaded::Loaded;
use crate::log::LogLines;
use crate::meta::Meta;
use crate::metrics::PluginMetrics;
use crate::plugin::{Instance, Plugin};
use crate::settings::{Settings, check_about, check_address_kind, truncate};
use crate::sidecar::Sidecar;
use crate::store::{Data, Logging, explain};
use crate::wasi;
use crate::wrap::to_component;
use pricedrop_model::plugin::Kind;

/// What loading needs in addition to the files: the engine, the cache, the default limits, and the
/// digests that may be loaded (none: all).
pub(crate) struct Loader {
    pub(crate) engine: Engine,
    pub(crate) cache: Option<Cache>,
    pub(crate) limits: Limits,
    pub(crate) allow_digests: Option<Vec<String>>,
}

impl Loader {
    /// Loads files with their own sidecar and runs the cases in it.
    ///
    /// # Errors
    /// The plugin is refused, for this reason.
    pub(crate) fn load(&self, files: &PluginFiles, metrics: PluginMetrics) -> Result<Loaded, LoadError> {
        let sidecar = match &files.sidecar {
            Some(text) => Sidecar::parse(&files.sidecar_file(), text, &self.limits)?,
            None => Sidecar { limits: self.limits.clone(), ..Sidecar::default() },
        };
        let loaded = self.load_with(files, &sidecar, metrics)?;
        let problems = cases::run(&sidecar.cases, &loaded);
        match problems.first() {
            None => Ok(loaded),
            Some(problem) => Err(LoadError::of_file(
                files.sidecar_file(),
                format!("{} of {} cases failed: {problem}", problems.len(), sidecar.cases.len()),
                "fix the plugin, or the case",
            )),
        }
    }

    /// Loads files with this sidecar in place of their own. Runs no cases.
    pub(crate) fn load_with(
        &self,
        files: &PluginFiles,
        sidecar: &Sidecar,
        metrics: PluginMetrics,
    ) -> Result<Loaded, LoadError> {
        let file = files.wasm_file();
        self.check_allowed(files)?;
        if files.wasm.len() as u64 > sidecar.limits.wasm_bytes {
            let reason = format!("{} bytes; at most {}", files.wasm.len(), sidecar.limits.wasm_bytes);
            return Err(LoadError::of_file(file, reason, "make it smaller, or raise the limit wasm_bytes"));
        }
        let component = self.compile(&file, &files.wasm)?;
        match self.kind_of(&file, &component)? {
            Kind::Bucketing => {
                let (plugin, _): (Plugin<Bucketing>, _) =
                    self.prepare(files, sidecar, &component, metrics)?;
                let fingerprint = load_check::check(&plugin).map_err(|failed| {
                    LoadError::of_function(&file, failed.function, failed.reason, failed.remedy)
                })?;
                let name = format!("{}+{}", plugin.meta.name, plugin.settings.digest());
                let identity = PolicyIdentity { name, fingerprint };
                Ok(Loaded::Bucketing(Arc::new(BucketingPolicy { plugin, identity })))
            }
            Kind::Throttling => {
                let (plugin, _): (Plugin<Throttling>, _) =
                    self.prepare(files, sidecar, &component, metrics)?;
                let formats = plugin
                    .call(|exports, store| exports.pricedrop_throttling_policy().call_state_formats(store));
                let (writes, reads) = formats.map_err(|failure| {
                    LoadError::of_function(&file, "state-formats", failure.reason(), FIX_PLUGIN)
                })?;
                Ok(Loaded::Throttling(Arc::new(ThrottlingPolicy { plugin, writes, reads })))
            }
            Kind::Channel => {
                let (plugin, address_kind) = self.prepare(files, sidecar, &component, metrics)?;
                let address_kind = address_kind.unwrap_or_default();
                let channel = ChannelPlugin { plugin, address_kind, access: sidecar.access.clone() };
                channel.try_samples().map_err(|reason| {
                    LoadError::of_function(file, "render", reason, "fix the plugin, or its templates")
                })?;
                Ok(Loaded::Channel(Arc::new(channel)))
            }
        }
    }

    fn check_allowed(&self, files: &PluginFiles) -> Result<(), LoadError> {
        let Some(allowed) = &self.allow_digests else { return Ok(()) };
        let digest = Digest::of(&[&files.wasm]);
        if allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(digest.as_str())) {
            return Ok(());
        }
        let reason = format!("its digest {digest} is not in the list of allowed digests");
        Err(LoadError::of_file(files.wasm_file(), reason, "add it to plugins.allow in the configuration"))
    }

    /// Compiles a file, or reads the compiled code of the same content from the cache.
    fn compile(&self, file: &str, wasm: &[u8]) -> Result<Component, LoadError> {
        let content = Digest::of(&[wasm]);
        if let Some(component) = self.cache.as_ref().and_then(|cache| cache.load(&self.engine, &content)) {
            return Ok(component);
        }
        // A file that makes the compiler panic is refused like any other bad file.
        let component =
            catch_unwind(AssertUnwindSafe(|| self.compile_uncached(file, wasm))).unwrap_or_else(|_| {
                let reason = "the compiler panicked; standard error has the location";
                Err(LoadError::of_file(file, reason, "build it again with current tools"))
            })?;
        if let Some(cache) = &self.cache {
            cache.store(&content, &component);
        }
        Ok(component)
    }

    fn compile_uncached(&self, file: &str, wasm: &[u8]) -> Result<Component, LoadError> {
        let bytes = to_component(&self.engine, file, wasm)?;
        Component::from_binary(self.engine.wasmtime(), &bytes).map_err(|error| {
            let reason = format!("cannot be compiled: {error:#}");
            LoadError::of_file(file, reason, "build it again, and copy the complete file")
        })
    }

    /// Returns the kind of the one contract whose interface the component exports.
    fn kind_of(&self, file: &str, component: &Component) -> Result<Kind, LoadError> {
        let kinds = [
            (Bucketing::INTERFACE, Kind::Bucketing),
            (Throttling::INTERFACE, Kind::Throttling),
            (Channel::INTERFACE, Kind::Channel),
        ];
        let component_type = component.component_type();
        let exports: Vec<&str> =
            component_type.exports(self.engine.wasmtime()).map(|(name, _)| name).collect();
        let found: Vec<Kind> =
            kinds.iter().filter(|(name, _)| exports.contains(name)).map(|(_, kind)| *kind).collect();
        match found[..] {
            [kind] => Ok(kind),
            [] => {
                let exports =
                    if exports.is_empty() { "nothing".to_owned() } else { truncate(&exports.join(", ")) };
                let ours = kinds.map(|(name, _)| name).join(", ");
                let reason = format!("exports none of {ours}; it exports {exports}");
                Err(LoadError::of_file(file, reason, "build it against a world in wit/ of this release"))
            }
            _ => Err(LoadError::of_file(
                file,
                "exports several plugin interfaces",
                "build one plugin per kind, each in its own file",
            )),
        }
    }

    /// Links, describes and configures a plugin. Keeps the configured instance for the first call.
    /// Returns the kind of address, too, if the plugin is a channel.
    fn prepare<C: Contract>(
        &self,
        files: &PluginFiles,
        sidecar: &Sidecar,
        component: &Component,
        metrics: PluginMetrics,
    ) -> Result<(Plugin<C>, Option<String>), LoadError> {
        let file = files.wasm_file();
        if C::KIND != Kind::Channel && !files.templates.is_empty() {
            let reason = format!("a {} plugin has no templates", C::KIND);
            return Err(LoadError::of_file(files.template_folder(), reason, "remove the folder"));
        }
        let (linked, wasi) = self.link::<C>(&file, component)?;
        let log = LogLines::new(&files.stem, sidecar.limits.log_lines_per_second);
        let Description { about, address_kind } =
            self.describe::<C>(&file, &linked, &sidecar.limits, &log, wasi)?;
        let is_credential = |name: &str| sidecar.access.credentials.contains_key(name);
        let settings = Settings::read(&about, &sidecar.settings, is_credential)
            .map_err(|problems| LoadError::of_file(files.sidecar_file(), problems.join("; "), ""))?;
        let meta = Meta {
            stem: files.stem.clone(),
            name: format!("{}@{}", about.id, about.version),
            id: about.id,
            summary: truncate(&about.summary),
            digest: files.digest(),
            wasm_digest: Digest::of(&[&files.wasm]),
        };
        let plugin = Plugin {
            meta: Arc::new(meta),
            health: Arc::new(Health::new(metrics)),
            settings,
            templates: files.templates(),
            limits: sidecar.limits.clone(),
            linked,
            engine: self.engine.clone(),
            log,
            wasi,
            idle: Mutex::default(),
        };
        let instance = plugin.new_instance().map_err(|failure| {
            LoadError::of_function(
                file,
                "configure",
                failure.reason(),
                "correct its settings or templates, or fix the plugin",
            )
        })?;
        plugin.keep_idle(instance);
        Ok((plugin, address_kind))
    }

    fn link<C: Contract>(&self, file: &str, component: &Component) -> Result<(C::Linked, bool), LoadError> {
        let refuse = |error: wasmtime::Error| {
            LoadError::of_file(
                file,
                format!("does not fit the {} contract: {error:#}", C::KIND),
                "a plugin may import pricedrop:host/log, and WASI 0.2 if its runtime needs it; build it against wit/ of this release",
            )
        };
        let engine = self.engine.wasmtime();
        let mut linker: Linker<Data> = Linker::new(engine);
        let logs: fn(&mut Data) -> &mut LogLines = |data| &mut data.log;
        bindings::log::add_to_linker::<Data, Logging>(&mut linker, logs).map_err(refuse)?;
        bindings::types::add_to_linker::<Data, Logging>(&mut linker, logs).map_err(refuse)?;
        let wasi = component.component_type().imports(engine).any(|(name, _)| name.starts_with("wasi:"));
        if wasi {
            wasi::link(&mut linker).map_err(refuse)?;
        }
        let linked = linker.instantiate_pre(component).and_then(C::link).map_err(refuse)?;
        Ok((linked, wasi))
    }

    fn describe<C: Contract>(
        &self,
        file: &str,
        linked: &C::Linked,
        limits: &Limits,
        log: &LogLines,
        wasi: bool,
    ) -> Result<Description, LoadError> {
        let mut instance: Instance<C> = Instance::unconfigured(&self.engine, linked, limits, log, wasi)
            .map_err(|error| {
                let reason = explain(&error);
                let remedy = if reason.contains(OUT_OF_MEMORY) { RAISE_MEMORY } else { FIX_PLUGIN };
                LoadError::of_function(file, "instantiate", reason, remedy)
            })?;
        let description = C::describe(&instance.exports, &mut instance.store)
            .map_err(|error| LoadError::of_function(file, "describe", explain(&error), FIX_PLUGIN))?;
        check_about(&description.about)
            .and_then(|()| check_address_kind(description.address_kind.as_deref()))
            .map_err(|reason| LoadError::of_function(file, "describe", reason, FIX_PLUGIN))?;
        Ok(description)
    }
}
