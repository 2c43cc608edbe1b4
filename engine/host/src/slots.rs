//! Which generation of which plugin serves: one slot per file stem, and the
//! rules by which one of a kind is chosen. Nothing here reads a file or calls
//! a plugin.

use std::collections::BTreeMap;
use std::sync::Arc;

use pricedrop_model::plugin::PolicyIdentity;

use crate::contract::bucketing::BucketingPolicy;
use crate::contract::channel::ChannelPlugin;
use crate::contract::throttling::ThrottlingPolicy;
use crate::digest::Digest;
use crate::loaded::Loaded;
use pricedrop_model::plugin::Kind;

/// All that is known of one file stem.
#[derive(Default)]
pub(crate) struct Slot {
    /// The generation that passed its checks last.
    pub(crate) current: Option<Loaded>,
    /// The one before, while it may still be needed.
    pub(crate) previous: Option<Loaded>,
    /// The pair in the folder when it was last looked at.
    pub(crate) seen: Option<Digest>,
    /// Why that pair is not the current one, or what else is wrong.
    pub(crate) problem: Option<String>,
    /// Its files are gone from the folder.
    pub(crate) removed: bool,
    /// The current generation came out of the last-good store.
    pub(crate) from_last_good: bool,
}

impl Slot {
    pub(crate) fn kind(&self) -> Option<Kind> {
        self.current.as_ref().or(self.previous.as_ref()).map(Loaded::kind)
    }
}

/// What serves now.
#[derive(Default, Clone)]
pub(crate) struct Table {
    pub(crate) bucketing: Option<Arc<BucketingPolicy>>,
    pub(crate) throttling: Option<Arc<ThrottlingPolicy>>,
    pub(crate) channels: BTreeMap<String, Arc<ChannelPlugin>>,
}

/// All slots, and what was chosen among them.
#[derive(Default)]
pub(crate) struct Slots {
    pub(crate) by_stem: BTreeMap<String, Slot>,
    /// By the configuration.
    pub(crate) named: BTreeMap<Kind, String>,
    /// By the configuration, or for being the only one.
    pub(crate) chosen: BTreeMap<Kind, String>,
    /// The policy whose buckets are served.
    pub(crate) active: Option<PolicyIdentity>,
    /// What is wrong with the folder as a whole.
    pub(crate) folder_problems: Vec<String>,
}

impl Slots {
    /// The stems of a kind, those whose files are gone left out where others
    /// are left.
    pub(crate) fn candidates(&self, kind: Kind) -> Vec<String> {
        let of_kind = self.by_stem.iter().filter(|(_, slot)| slot.kind() == Some(kind));
        let (gone, present): (Vec<_>, Vec<_>) = of_kind.partition(|(_, slot)| slot.removed);
        let left = if present.is_empty() { gone } else { present };
        left.into_iter().map(|(stem, _)| stem.clone()).collect()
    }

    /// Chooses one stem per kind. A choice once made stands while its files
    /// do; where there is none, an only candidate is taken.
    pub(crate) fn choose(&mut self, kind: Kind) {
        let stands = |stem: &String| self.by_stem.get(stem).is_some_and(|slot| !slot.removed);
        let choice = match (self.named.get(&kind), self.chosen.get(&kind)) {
            (Some(named), _) => Some(named.clone()),
            (None, Some(chosen)) if stands(chosen) => Some(chosen.clone()),
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

    /// What serves by all this. The first policy ever becomes the active one,
    /// and so does one that cuts as the active one does.
    pub(crate) fn settle(&mut self) -> Table {
        self.choose(Kind::Bucketing);
        self.choose(Kind::Throttling);
        let mut table = Table { bucketing: self.serving_policy(), ..Table::default() };
        if let Some(policy) = &table.bucketing {
            self.active = Some(policy.identity.clone());
        }
        if let Some(Loaded::Throttling(policy)) =
            self.chosen_slot(Kind::Throttling).and_then(|slot| slot.current.clone())
        {
            table.throttling = Some(policy);
        }
        for (stem, slot) in &self.by_stem {
            if let Some(Loaded::Channel(channel)) = &slot.current {
                table.channels.insert(stem.clone(), Arc::clone(channel));
            }
        }
        table
    }

    pub(crate) fn chosen_slot(&self, kind: Kind) -> Option<&Slot> {
        self.by_stem.get(self.chosen.get(&kind)?)
    }

    /// The chosen policy where it cuts as the active one does, else any that
    /// does: until a migration is through, the old buckets are the true ones.
    fn serving_policy(&self) -> Option<Arc<BucketingPolicy>> {
        let chosen = self.chosen_slot(Kind::Bucketing)?;
        let of_slot = |slot: &Slot| [slot.current.clone(), slot.previous.clone()];
        let all = of_slot(chosen).into_iter().chain(self.by_stem.values().flat_map(of_slot));
        let policies = all.flatten().filter_map(|loaded| match loaded {
            Loaded::Bucketing(policy) => Some(policy),
            _ => None,
        });
        policies
            .filter(|policy| policy.plugin.health.condemned().is_none())
            .find(|policy| self.cuts_as_active(&policy.identity))
    }

    pub(crate) fn cuts_as_active(&self, policy: &PolicyIdentity) -> bool {
        self.active.as_ref().is_none_or(|active| active.fingerprint == policy.fingerprint)
    }

    /// Puts a new generation into its slot; the one it replaces is kept while
    /// the new one is on probation. One that is itself unproven, or staged, is
    /// not worth keeping in the place of a better one.
    pub(crate) fn place(&mut self, stem: &str, loaded: Loaded) {
        let active = self.active.clone();
        let is_active = |loaded: &Loaded| {
            let fingerprint = loaded.policy().map(|policy| &policy.fingerprint);
            fingerprint.is_some() && fingerprint == active.as_ref().map(|active| &active.fingerprint)
        };
        let slot = self.by_stem.entry(stem.to_owned()).or_default();
        let Some(old) = slot.current.replace(loaded) else { return };
        let keep_previous = slot.previous.as_ref().is_some_and(|previous| {
            (is_active(previous) && !is_active(&old)) || (!old.health().is_proven() && !is_active(&old))
        });
        if !keep_previous {
            slot.previous = Some(old);
        }
        if let Some(previous) = &slot.previous {
            previous.cool_down();
        }
    }
}
