//! The status of plugins, for the API, the command line and the log.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The kind of a plugin: which of our interfaces it exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Assigns watches to buckets.
    Bucketing,
    /// Decides which updates are evaluated, and when.
    Throttling,
    /// Renders messages to users and classifies replies.
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

/// The state of a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It is in use.
    Active,
    /// It passed its checks, but another plugin of its kind is active.
    Available,
    /// A bucketing policy with another mapping than the active one's. It becomes active by a
    /// migration of the bucket indexes.
    Staged,
    /// None of its generations passed the checks.
    Refused,
}

/// The status of one file stem.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginStatus {
    /// Its file stem.
    pub name: String,
    /// Its kind; none if no generation was ever loaded.
    pub kind: Option<Kind>,
    /// `id@version` of the last generation that passed its checks.
    pub plugin: Option<String>,
    /// The plugin's own description of what it does.
    pub summary: Option<String>,
    /// SHA-256 of that generation's files.
    pub digest: Option<String>,
    /// SHA-256 of its `.wasm` file, in the form of `plugins.allow`.
    pub wasm_digest: Option<String>,
    /// The identity of its policy, if it is a bucketing policy.
    pub policy: Option<String>,
    /// Its state.
    pub state: State,
    /// Whether it was loaded from the last-good store, not from the plugin folder.
    pub last_good: bool,
    /// Whether it is on probation: it has not completed its first calls yet.
    pub on_probation: bool,
    /// What is wrong with it, or with the newer files in the folder.
    pub problem: Option<String>,
    /// Counts since the start of the process.
    pub counts: Counts,
}

/// Counts of one file stem since the start of the process, over all its generations.
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
    /// New generations that failed the checks.
    pub refusals: u64,
    /// Generations that were replaced by the one before them.
    pub rollbacks: u64,
}

/// The status of all plugins.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// All file stems, in alphabetical order.
    pub plugins: Vec<PluginStatus>,
    /// The identity of the active bucketing policy.
    pub active_policy: Option<String>,
    /// Warnings for the operator, as text.
    pub warnings: Vec<String>,
}

impl Status {
    /// Returns the status of one file stem.
    pub fn plugin(&self, name: &str) -> Option<&PluginStatus> {
        self.plugins.iter().find(|plugin| plugin.name == name)
    }
}
