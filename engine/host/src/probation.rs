//! The end of a generation's probation. If it passed, the previous generation is dropped. If it
//! failed, the previous generation serves again, and the failed files are not loaded again until
//! their content changes.

use std::sync::{Arc, Weak};

use crate::health::ProbationObserver;
use crate::host::Shared;
use crate::loaded::Loaded;
use crate::meta::Meta;
use pricedrop_model::plugin::Kind;

/// The reference of a serving plugin to its host. It is weak because the host owns the plugin.
struct RollbackObserver(Weak<Shared>);

impl ProbationObserver for RollbackObserver {
    fn failed(&self, meta: &Meta, reason: &str) -> bool {
        self.0.upgrade().is_some_and(|shared| shared.roll_back(meta, reason))
    }

    fn proven(&self, meta: &Meta) {
        if let Some(shared) = self.0.upgrade() {
            shared.prove(meta);
        }
    }
}

impl Shared {
    pub(crate) fn probation_observer(self: &Arc<Shared>) -> Arc<dyn ProbationObserver> {
        Arc::new(RollbackObserver(Arc::downgrade(self)))
    }

    /// Rolls a failed generation back to the previous one. Returns whether another generation
    /// serves in its place now.
    fn roll_back(&self, meta: &Meta, reason: &str) -> bool {
        let mut registry = self.registry();
        let Some(entry) = registry.by_stem.get_mut(&meta.stem) else { return false };
        if entry.current.as_ref().is_none_or(|current| current.meta().digest != meta.digest) {
            // The failed generation was replaced meanwhile; a caller still has it.
            return entry.current.is_some();
        }
        let fit = entry.previous.take_if(|previous| previous.health().disabled().is_none());
        let Some(previous) = fit else {
            entry.problem = Some(format!(
                "{}.wasm: {reason}; there is no previous generation to roll back to",
                meta.stem
            ));
            self.publish(&mut registry);
            return false;
        };
        let name = &previous.meta().name;
        let problem =
            format!("{}.wasm: {reason}; rolled back to {name}; change the file to load it again", meta.stem);
        tracing::error!("{problem}");
        self.last_good.reject(&meta.stem, &meta.digest, reason);
        self.last_good.record(&meta.stem, Some(&previous.meta().digest), previous.health().is_proven(), None);
        self.metrics.plugin(&meta.stem).rollbacks.inc();
        (entry.current, entry.problem, entry.from_last_good) = (Some(previous), Some(problem), true);
        self.publish(&mut registry);
        true
    }

    /// Records that a generation passed its probation, and drops the previous one. A staged
    /// bucketing policy keeps it, because the previous one's buckets are still read.
    fn prove(&self, meta: &Meta) {
        let mut registry = self.registry();
        let active = registry.active.clone();
        let Some(entry) = registry.by_stem.get_mut(&meta.stem) else { return };
        let Some(current) = entry.current.as_ref().filter(|current| current.meta().digest == meta.digest)
        else {
            return;
        };
        let fingerprint = |loaded: &Loaded| loaded.policy().map(|policy| policy.fingerprint.clone());
        let active = active.map(|active| active.fingerprint);
        let still_needed = fingerprint(current) != active;
        if !still_needed || current.kind() != Kind::Bucketing {
            entry.previous = None;
        }
        let previous = entry.previous.as_ref().map(|previous| previous.meta().digest.clone());
        self.last_good.record(&meta.stem, Some(&meta.digest), true, previous.as_ref());
    }
}
