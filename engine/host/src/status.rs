//! What the host tells about its plugins: for `/readyz`, `/metrics`, the
//! command line and the log.

use serde::Serialize;

use crate::error::Kind;
use crate::loaded::Loaded;
use crate::metrics::{Metrics, PluginMetrics};
use crate::slots::{Slot, Slots, Table};

/// Where a plugin stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It serves.
    Active,
    /// It passed its checks, but another one of its kind serves.
    Available,
    /// A policy with another mapping than the active one's: it serves after a
    /// migration of the buckets.
    Staged,
    /// None of its generations passed the checks.
    Refused,
}

/// One file stem.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginStatus {
    /// Its file stem.
    pub name: String,
    /// Its kind; none while it was never loaded.
    pub kind: Option<Kind>,
    /// `id@version` of the generation that passed its checks last.
    pub plugin: Option<String>,
    /// What it says it does.
    pub summary: Option<String>,
    /// SHA-256 of that generation's files.
    pub digest: Option<String>,
    /// SHA-256 of its `.wasm` file, as `plugins.allow` wants it.
    pub wasm_digest: Option<String>,
    /// A bucketing policy's identity.
    pub policy: Option<String>,
    /// Where it stands.
    pub state: State,
    /// It came from the last-good store, not from the folder.
    pub last_good: bool,
    /// It is not through its first calls yet.
    pub on_probation: bool,
    /// What is wrong with it, or with the newer files in the folder.
    pub problem: Option<String>,
    /// What happened since the start.
    pub counts: Counts,
}

/// What happened to one file stem since the start, across its generations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Calls into it.
    pub calls: u64,
    /// Time spent in them, seconds.
    pub call_seconds: f64,
    /// Batches that failed, wholly or in part.
    pub traps: u64,
    /// Answers that broke the contract.
    pub breaches: u64,
    /// New generations that passed the checks.
    pub reloads: u64,
    /// New generations that did not.
    pub refusals: u64,
    /// Generations that gave way to the one before.
    pub rollbacks: u64,
}

impl Counts {
    fn of(metrics: &PluginMetrics) -> Counts {
        Counts {
            calls: metrics.calls.get(),
            call_seconds: metrics.call_seconds.sum(),
            traps: metrics.traps.get(),
            breaches: metrics.breaches.get(),
            reloads: metrics.reloads.get(),
            refusals: metrics.refusals.get(),
            rollbacks: metrics.rollbacks.get(),
        }
    }
}

/// All of it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Every file stem, in their order.
    pub plugins: Vec<PluginStatus>,
    /// The identity of the policy whose buckets are served.
    pub active_policy: Option<String>,
    /// What somebody should look at, in words.
    pub warnings: Vec<String>,
}

impl Status {
    /// The status of one file stem.
    pub fn plugin(&self, name: &str) -> Option<&PluginStatus> {
        self.plugins.iter().find(|plugin| plugin.name == name)
    }

    pub(crate) fn of(slots: &Slots, table: &Table, metrics: &Metrics) -> Status {
        let status = |(stem, slot): (&String, &Slot)| {
            plugin_status(stem, slot, (slots, table), Counts::of(&metrics.plugin(stem)))
        };
        let plugins: Vec<PluginStatus> = slots.by_stem.iter().map(status).collect();
        let mut warnings = slots.folder_problems.clone();
        warnings.extend(plugins.iter().filter_map(|plugin| plugin.problem.clone()));
        for (stem, slot) in slots.by_stem.iter().filter(|(_, slot)| slot.removed) {
            if slot.current.as_ref().is_some_and(|loaded| serves(loaded, stem, table)) {
                warnings.push(format!(
                    "{stem}.wasm is gone from the plugin folder; its last good files keep serving"
                ));
            }
        }
        warnings
            .extend([Kind::Bucketing, Kind::Throttling].iter().filter_map(|kind| newcomers(slots, *kind)));
        if table.bucketing.is_none() && slots.chosen.contains_key(&Kind::Bucketing) {
            warnings.push("no bucketing policy with the active mapping serves: plain scans are read".into());
        }
        Status { plugins, active_policy: slots.active.as_ref().map(|policy| policy.name.clone()), warnings }
    }
}

/// Several of a kind and none named: the newcomers are ignored.
fn newcomers(slots: &Slots, kind: Kind) -> Option<String> {
    if slots.named.contains_key(&kind) {
        return None;
    }
    let candidates = slots.candidates(kind);
    let others: Vec<&str> =
        candidates.iter().filter(|stem| slots.chosen.get(&kind) != Some(stem)).map(String::as_str).collect();
    match (slots.chosen.get(&kind), &others[..]) {
        (_, []) => None,
        (Some(chosen), others) => Some(format!(
            "{kind}: {chosen} serves, {} ignored; name one in the configuration ({kind} = \"{chosen}\")",
            others.join(", ")
        )),
        (None, others) => Some(format!(
            "{kind}: none serves, for none is named and there are {}; name one in the configuration",
            others.join(", ")
        )),
    }
}

fn serves(loaded: &Loaded, stem: &str, table: &Table) -> bool {
    let digest = &loaded.meta().digest;
    let serving = match loaded.kind() {
        Kind::Bucketing => table.bucketing.as_ref().map(|policy| &policy.plugin.meta),
        Kind::Throttling => table.throttling.as_ref().map(|policy| &policy.plugin.meta),
        Kind::Channel => table.channels.get(stem).map(|channel| &channel.plugin.meta),
    };
    serving.is_some_and(|meta| meta.stem == stem && meta.digest == *digest)
}

fn plugin_status(stem: &str, slot: &Slot, (slots, table): (&Slots, &Table), counts: Counts) -> PluginStatus {
    let current = slot.current.as_ref();
    let meta = current.map(Loaded::meta);
    let state = match current {
        None => State::Refused,
        Some(loaded) if serves(loaded, stem, table) => State::Active,
        Some(loaded) => match loaded.policy() {
            Some(policy) if is_chosen(slots, stem) && !slots.cuts_as_active(policy) => State::Staged,
            _ => State::Available,
        },
    };
    let condemned = current.and_then(|loaded| loaded.health().condemned().map(str::to_owned));
    PluginStatus {
        name: stem.to_owned(),
        kind: slot.kind(),
        plugin: meta.map(|meta| meta.name.clone()),
        summary: meta.map(|meta| meta.summary.clone()),
        digest: meta.map(|meta| meta.digest.to_string()),
        wasm_digest: meta.map(|meta| meta.wasm_digest.to_string()),
        policy: current.and_then(Loaded::policy).map(|policy| policy.name.clone()),
        state,
        last_good: slot.from_last_good,
        on_probation: current.is_some_and(|loaded| !loaded.health().is_proven()),
        problem: slot.problem.clone().or(condemned.map(|reason| format!("{stem}.wasm: {reason}"))),
        counts,
    }
}

fn is_chosen(slots: &Slots, stem: &str) -> bool {
    slots.chosen.get(&Kind::Bucketing).is_some_and(|chosen| chosen == stem)
}
