//! Errors of starting the host and of loading plugins. Their texts are for the operator who deploys
//! plugins.

use pricedrop_model::plugin::Kind;
use std::path::PathBuf;

use pricedrop_model::Cause;

/// Why the host cannot start, or a plugin command failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// wasmtime or a thread cannot start on this machine. No change of the plugins helps.
    #[error("the plugin engine cannot start: {0}")]
    Engine(#[source] Cause),
    /// The data folder cannot be used: correct its path or permissions, then start again.
    #[error("{}: {reason}", path.display())]
    DataDir {
        /// The folder.
        path: PathBuf,
        /// The problem.
        #[source]
        reason: Cause,
    },
    /// Several plugins of one kind: name one in the configuration, or remove the others.
    #[error(
        "there are two {kind} plugins and none is configured: {}; name one in the configuration ({kind} = \"{}\") or remove the others",
        stems.join(", "), stems.first().map_or("", |stem| stem)
    )]
    TwoCandidates {
        /// The kind of the plugins.
        kind: Kind,
        /// The file stems of the plugins.
        stems: Vec<String>,
    },
    /// The configured plugin is missing: correct its name in the configuration, or add the file.
    #[error("the {kind} plugin \"{stem}\" is not in {}{}", folder.display(), nearest_hint(nearest.as_deref()))]
    NamedMissing {
        /// The kind of the plugin.
        kind: Kind,
        /// The name in the configuration.
        stem: String,
        /// The plugin folder.
        folder: PathBuf,
        /// The most similar stem in the folder, if one is similar.
        nearest: Option<String>,
    },
    /// A file was refused: correct it as the text says.
    #[error(transparent)]
    Refused(#[from] LoadError),
}

fn nearest_hint(nearest: Option<&str>) -> String {
    nearest.map(|name| format!("; did you mean \"{name}\"?")).unwrap_or_default()
}

/// Why the files of a plugin were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {}{reason}{}", function.map(|name| format!("{name}: ")).unwrap_or_default(), remedy_hint(remedy))]
pub struct LoadError {
    /// The refused file or folder, such as `name.wasm`, `name.toml` or `name.d`.
    pub file: String,
    /// The plugin's function that failed; none if the file was refused before a call.
    pub function: Option<&'static str>,
    /// The problem.
    pub reason: String,
    /// How to solve it; empty if the reason says so.
    pub remedy: String,
}

fn remedy_hint(remedy: &str) -> String {
    if remedy.is_empty() { String::new() } else { format!("; {remedy}") }
}

impl LoadError {
    /// An error of a file, independent of a call.
    pub(crate) fn of_file(file: impl Into<String>, reason: impl Into<String>, remedy: &str) -> LoadError {
        LoadError { file: file.into(), function: None, reason: reason.into(), remedy: remedy.into() }
    }

    /// An error because of what a function of the plugin did.
    pub(crate) fn of_function(
        file: impl Into<String>,
        function: &'static str,
        reason: impl Into<String>,
        remedy: &str,
    ) -> LoadError {
        LoadError {
            file: file.into(),
            function: Some(function),
            reason: reason.into(),
            remedy: remedy.into(),
        }
    }
}

/// Returns the name in `known` that is most similar to `wrong`; none if no name is similar.
pub(crate) fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(wrong, name), name))
        .min()
        .filter(|(distance, name)| *distance <= name.len().max(3) / 2)
        .map(|(_, name)| name)
}

/// Part of the operating system's message for ENOMEM.
pub(crate) const OUT_OF_MEMORY: &str = "(os error 12)";
/// The remedy if the operating system refuses memory.
pub(crate) const RAISE_MEMORY: &str = "it is not the plugin: the process may use too little memory or address space; \
                                       raise the limit (ulimit -v, LimitAS of systemd)";
/// The remedy for a plugin that breaks its contract.
pub(crate) const FIX_PLUGIN: &str = "fix the plugin";
