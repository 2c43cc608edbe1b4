//! Computes the status of the plugins, for `/v1/plugins`.

use pricedrop_model::plugin::{Counts, Kind, PluginStatus, State, Status};

use crate::loaded::Loaded;
use crate::metrics::{Metrics, PluginMetrics};
use crate::registry::{PluginEntry, PluginRegistry, Serving};

fn counts_of(metrics: &PluginMetrics) -> Counts {
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

/// Returns the status of all plugins, with warnings.
pub(crate) fn status_of(registry: &PluginRegistry, serving: &Serving, metrics: &Metrics) -> Status {
    let status = |(stem, entry): (&String, &PluginEntry)| {
        plugin_status(stem, entry, (registry, serving), counts_of(&metrics.plugin(stem)))
    };
    let plugins: Vec<PluginStatus> = registry.by_stem.iter().map(status).collect();
    let mut warnings = registry.folder_problems.clone();
    warnings.extend(plugins.iter().filter_map(|plugin| plugin.problem.clone()));
    for (stem, entry) in registry.by_stem.iter().filter(|(_, entry)| entry.removed) {
        if entry.current.as_ref().is_some_and(|loaded| serves(loaded, stem, serving)) {
            warnings.push(format!(
                "{stem}.wasm was removed from the plugin folder; its last good version keeps serving"
            ));
        }
    }
    warnings.extend(
        [Kind::Bucketing, Kind::Throttling].iter().filter_map(|kind| ignored_candidates(registry, *kind)),
    );
    if serving.bucketing.is_none() && registry.chosen.contains_key(&Kind::Bucketing) {
        warnings.push(
            "no bucketing policy with the active mapping is loaded: drops are read by plain scans".into(),
        );
    }
    Status { plugins, active_policy: registry.active.as_ref().map(|policy| policy.name.clone()), warnings }
}

/// Returns a warning if there are several plugins of a kind and the configuration names none: those
/// not chosen are ignored until the next start, which is refused.
pub(crate) fn ignored_candidates(registry: &PluginRegistry, kind: Kind) -> Option<String> {
    if registry.named.contains_key(&kind) {
        return None;
    }
    let candidates = registry.candidates(kind);
    let others: Vec<&str> = candidates
        .iter()
        .filter(|stem| registry.chosen.get(&kind) != Some(stem))
        .map(String::as_str)
        .collect();
    match (registry.chosen.get(&kind), &others[..]) {
        (_, []) => None,
        (Some(chosen), others) => {
            let files: Vec<_> = others.iter().map(|stem| format!("{stem}.wasm")).collect();
            Some(format!(
                "{kind}: {chosen} serves, {} ignored. The next start will be refused: remove {} from the plugin folder, or name the plugin to use under [plugins] ({kind} = \"{chosen}\")",
                others.join(", "),
                files.join(" and ")
            ))
        }
        (None, others) => Some(format!(
            "{kind}: no plugin is active, because the configuration names none of {}. The next start will be refused: remove all but one from the plugin folder, or name the plugin to use under [plugins] ({kind} = \"{}\")",
            others.join(", "),
            others[0]
        )),
    }
}

fn serves(loaded: &Loaded, stem: &str, serving: &Serving) -> bool {
    let digest = &loaded.meta().digest;
    let serving = match loaded.kind() {
        Kind::Bucketing => serving.bucketing.as_ref().map(|policy| &policy.plugin.meta),
        Kind::Throttling => serving.throttling.as_ref().map(|policy| &policy.plugin.meta),
        Kind::Channel => serving.channels.get(stem).map(|channel| &channel.plugin.meta),
    };
    serving.is_some_and(|meta| meta.stem == stem && meta.digest == *digest)
}

fn plugin_status(
    stem: &str,
    entry: &PluginEntry,
    (registry, serving): (&PluginRegistry, &Serving),
    counts: Counts,
) -> PluginStatus {
    let current = entry.current.as_ref();
    let meta = current.map(Loaded::meta);
    let state = match current {
        None => State::Refused,
        Some(loaded) if serves(loaded, stem, serving) => State::Active,
        Some(loaded) => match loaded.policy() {
            Some(policy) if is_chosen(registry, stem) && !registry.has_active_mapping(policy) => {
                State::Staged
            }
            _ => State::Available,
        },
    };
    let disabled = current.and_then(|loaded| loaded.health().disabled().map(str::to_owned));
    PluginStatus {
        name: stem.to_owned(),
        kind: entry.kind(),
        plugin: meta.map(|meta| meta.name.clone()),
        summary: meta.map(|meta| meta.summary.clone()),
        digest: meta.map(|meta| meta.digest.to_string()),
        wasm_digest: meta.map(|meta| meta.wasm_digest.to_string()),
        policy: current.and_then(Loaded::policy).map(|policy| policy.name.clone()),
        state,
        last_good: entry.from_last_good,
        on_probation: current.is_some_and(|loaded| !loaded.health().is_proven()),
        problem: entry.problem.clone().or(disabled.map(|reason| format!("{stem}.wasm: {reason}"))),
        counts,
    }
}

fn is_chosen(registry: &PluginRegistry, stem: &str) -> bool {
    registry.chosen.get(&Kind::Bucketing).is_some_and(|chosen| chosen == stem)
}
