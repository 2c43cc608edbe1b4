//! Self-test cases: calls of a plugin with the expected answers, written by its author. They are in
//! a sidecar as `[[cases]]`, and in JSON files in a plugin's `cases/` folder, with their settings.

mod bucketing;
mod callbacks;
mod channel;
mod throttling;
mod values;

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::loaded::Loaded;
use pricedrop_model::plugin::Kind;

/// A file of cases.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CaseFile {
    pub(crate) kind: Kind,
    #[serde(default)]
    pub(crate) settings: toml::Table,
    /// Templates that replace or extend the plugin's own, by `<locale>.<part>`.
    #[serde(default)]
    pub(crate) templates: BTreeMap<String, String>,
    pub(crate) cases: Vec<Case>,
}

/// One call with its expected answer. Its fields determine the kind of plugin.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum Case {
    Bucketing(bucketing::Case),
    Throttling(Box<throttling::Case>),
    Channel(Box<channel::Case>),
}

/// Runs cases through the real host. Returns one line per failed case.
pub(crate) fn run(cases: &[Case], loaded: &Loaded) -> Vec<String> {
    let numbered = cases.iter().enumerate();
    let failed = numbered.filter_map(|(at, case)| {
        let outcome = match (case, loaded) {
            (Case::Bucketing(case), Loaded::Bucketing(policy)) => bucketing::run(case, policy.as_ref()),
            (Case::Throttling(case), Loaded::Throttling(policy)) => throttling::run(case, policy.as_ref()),
            (Case::Channel(case), Loaded::Channel(channel)) => channel::run(case, channel.as_ref()),
            _ => Err(format!("is not a case of a {} plugin", loaded.kind())),
        };
        outcome.err().map(|problem| format!("case {}: {problem}", at + 1))
    });
    failed.collect()
}
