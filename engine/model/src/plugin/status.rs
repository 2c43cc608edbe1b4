//! What the host of plugins says about them: for the API, the command line and the log.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a plugin is for: which of our interfaces it exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// How watchers are cut into buckets.
    Bucketing,
    /// Which updates are evaluated, and when.
    Throttling,
    /// How a notification reaches a person.
    Channel,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Bucketing => "bucketing",
            Kind::Throttling => "throttling",
            Kind::Channel => "channel",
        })
    }
}

/// What became of a plugin.
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

/// All plugins.
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
}
