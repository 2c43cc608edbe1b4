//! Records which generation of each plugin is active, one entry per file stem, and chooses the
//! active policy of each kind. Nothing here reads a file or calls a plugin.

use std::collections::BTreeMap;
use std::sync::Arc;

use pricedrop_model::plugin::PolicyIdentity;

use crate::contract::bucketing::BucketingPolicy;
use crate::contract::channel::ChannelPlugin;
use crate::contract::throttling::ThrottlingPolicy;
use crate::digest::Digest;
use crate::loaded::Loaded;
use pricedrop_model::plugin::Kind;

/// The state of one file stem.
#[derive(Default)]
pub(crate) struct PluginEntry {
    /// The current generation: the last one that passed its checks, or after a rollback the one
    /// before it.
    pub(crate) current: Option<Loaded>,
    /// The previous generation, as long as a rollback or stored buckets may need it.
    pub(crate) previous: Option<Loaded>,
    /// The digest of the files that were last read from the folder.
    pub(crate) seen: Option<Digest>,
    /// Why those files are not the current generation, or another problem.
    pub(crate) problem: Option<String>,
    /// Whether those files were refused because of what their sidecar allows. They are checked again at
    /// every poll, because a missing secret or file may appear without a change of the folder.
    pub(crate) access_refused: bool,
    /// Whether the files were removed from the folder.
    pub(crate) removed: bool,
    /// Whether the current generation is not the one in the folder: it was read from the last-good
    /// store, or rolled back to.
    pub(crate) from_last_good: bool,
}

impl PluginEntry {
    pub(crate) fn kind(&self) -> Option<Kind> {
        self.current.as_ref().or(self.previous.as_ref()).map(Loaded::kind)
    }
}

/// The plugins that serve now. Channels are by file stem.
#[derive(Default, Clone)]
pub(crate) struct Serving {
    pub(crate) bucketing: Option<Arc<BucketingPolicy>>,
    pub(crate) throttling: Option<Arc<ThrottlingPolicy>>,
    pub(crate) channels: BTreeMap<String, Arc<ChannelPlugin>>,
}

/// All entries, and the plugins chosen among them.
#[derive(Default)]
pub(crate) struct PluginRegistry {
    pub(crate) by_stem: BTreeMap<String, PluginEntry>,
    /// The stems that the configuration names.
    pub(crate) named: BTreeMap<Kind, String>,
    /// The chosen stems: named by the configuration, or the only candidate.
    pub(crate) chosen: BTreeMap<Kind, String>,
    /// The policy whose buckets are stored and read.
    pub(crate) active: Option<PolicyIdentity>,
    /// Problems of the folder as a whole.
    pub(crate) folder_problems: Vec<String>,
    /// The warnings about ignored plugins that were logged last.
    pub(crate) ignored: Vec<String>,
}

impl PluginRegistry {
    /// Returns the stems of a kind whose files exist; if there are none, those whose files were
    /// removed.
    pub(crate) fn candidates(&self, kind: Kind) -> Vec<String> {
        let of_kind = self.by_stem.iter().filter(|(_, entry)| entry.kind() == Some(kind));
        let (gone, present): (Vec<_>, Vec<_>) = of_kind.partition(|(_, entry)| entry.removed);
        let stems = if present.is_empty() { gone } else { present };
        stems.into_iter().map(|(stem, _)| stem.clone()).collect()
    }

    /// Chooses the stem of a kind: the one that the configuration names, else the one chosen before
    /// as long as its files exist, else the only candidate. With several candidates, the choice
    /// does not change.
    pub(crate) fn choose(&mut self, kind: Kind) {
        let present = |stem: &String| self.by_stem.get(stem).is_some_and(|entry| !entry.removed);
        let choice = match (self.named.get(&kind), self.chosen.get(&kind)) {
            (Some(named), _) => Some(named.clone()),
            (None, Some(chosen)) if present(chosen) => Some(chosen.clone()),
            (None, before) => match &self.candidates(kind)[..] {
                [only] => Some(only.clone()),
                _ => before.cloned(),
            },
        };
        match choice {
            Some(stem) => self.chosen.insert(kind, stem),
            None => self.chosen.remove(&kind),
        };
    }

    /// Chooses the policies, and returns all plugins that are in use. If no bucketing policy is
    /// active yet, the returned one becomes active. After that, only a policy with the same mapping
    /// can replace it here.
    pub(crate) fn choose_serving(&mut self) -> Serving {
        self.choose(Kind::Bucketing);
        self.choose(Kind::Throttling);
        let mut serving = Serving { bucketing: self.serving_policy(), ..Serving::default() };
        if let Some(policy) = &serving.bucketing {
            self.active = Some(policy.identity.clone());
        }
        if let Some(Loaded::Throttling(policy)) =
            self.chosen_entry(Kind::Throttling).and_then(|entry| entry.current.clone())
        {
            serving.throttling = Some(policy);
        }
        for (stem, entry) in &self.by_stem {
            if let Some(Loaded::Channel(channel)) = &entry.current {
                serving.channels.insert(stem.clone(), Arc::clone(channel));
            }
        }
        serving
    }

    pub(crate) fn chosen_entry(&self, kind: Kind) -> Option<&PluginEntry> {
        self.by_stem.get(self.chosen.get(&kind)?)
    }

    /// Returns the chosen policy if it has the active mapping, else another generation or policy
    /// that has it: until a migration has finished, the stored buckets are those of the active
    /// policy.
    fn serving_policy(&self) -> Option<Arc<BucketingPolicy>> {
        let chosen = self.chosen_entry(Kind::Bucketing)?;
        let generations_of = |entry: &PluginEntry| [entry.current.clone(), entry.previous.clone()];
        let all = generations_of(chosen).into_iter().chain(self.by_stem.values().flat_map(generations_of));
        let policies = all.flatten().filter_map(|loaded| match loaded {
            Loaded::Bucketing(policy) => Some(policy),
            _ => None,
        });
        policies
            .filter(|policy| policy.plugin.health.disabled().is_none())
            .find(|policy| self.has_active_mapping(&policy.identity))
    }

    pub(crate) fn has_active_mapping(&self, policy: &PolicyIdentity) -> bool {
        self.active.as_ref().is_none_or(|active| active.fingerprint == policy.fingerprint)
    }

    /// Makes a new generation the current one. The replaced generation becomes the previous one,
    /// for a rollback. But an earlier previous generation stays if the replaced one is staged, or
    /// neither proven nor active.
    pub(crate) fn install(&mut self, stem: &str, loaded: Loaded) {
        let active = self.active.clone();
        let is_active = |loaded: &Loaded| {
            let fingerprint = loaded.policy().map(|policy| &policy.fingerprint);
            fingerprint.is_some() && fingerprint == active.as_ref().map(|active| &active.fingerprint)
        };
        let entry = self.by_stem.entry(stem.to_owned()).or_default();
        let Some(old) = entry.current.replace(loaded) else { return };
        let keep_previous = entry.previous.as_ref().is_some_and(|previous| {
            (is_active(previous) && !is_active(&old)) || (!old.health().is_proven() && !is_active(&old))
        });
        if !keep_previous {
            entry.previous = Some(old);
        }
        if let Some(previous) = &entry.previous {
            previous.drop_idle_instances();
        }
    }
}
