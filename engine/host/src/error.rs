//! What can go wrong between a file in the plugin folder and a plugin that
//! serves, in words for the person who put the file there.

use pricedrop_model::plugin::Kind;
use std::path::PathBuf;

use pricedrop_model::Cause;

/// Why the host cannot start, or a request to it cannot be met.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The machine cannot run plugins; nothing in the folder will change that.
    #[error("the plugin engine cannot start: {0}")]
    Engine(#[source] Cause),
    /// Mend the folder's place or rights, then start again.
    #[error("{}: {reason}", path.display())]
    DataDir {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        reason: Cause,
    },
    /// Name one of them in the configuration, or remove the others.
    #[error(
        "two {kind} plugins and none named: {}; name one in the configuration ({kind} = \"{}\") or remove the others",
        stems.join(", "), stems.first().map_or("", |stem| stem)
    )]
    TwoCandidates {
        /// Their kind.
        kind: Kind,
        /// Their file stems.
        stems: Vec<String>,
    },
    /// Mend the name in the configuration, or put the file there.
    #[error("the {kind} plugin \"{stem}\" is not in {}{}", folder.display(), nearest_hint(nearest.as_deref()))]
    NamedMissing {
        /// Its kind.
        kind: Kind,
        /// The name in the configuration.
        stem: String,
        /// Where it was looked for.
        folder: PathBuf,
        /// The nearest name that is there.
        nearest: Option<String>,
    },
    /// Mend the file as it says.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

fn nearest_hint(nearest: Option<&str>) -> String {
    nearest.map(|name| format!("; did you mean \"{name}\"?")).unwrap_or_default()
}

/// Why a pair of files does not become a serving plugin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {}{reason}{}", function.map(|name| format!("{name}: ")).unwrap_or_default(), remedy_hint(remedy))]
pub struct Refusal {
    /// The file, `name.wasm` or `name.toml`.
    pub file: String,
    /// The plugin's function that failed, if it came so far.
    pub function: Option<&'static str>,
    /// What is wrong.
    pub reason: String,
    /// How to make it right; may be empty where the reason says it.
    pub remedy: String,
}

fn remedy_hint(remedy: &str) -> String {
    if remedy.is_empty() { String::new() } else { format!("; {remedy}") }
}

impl Refusal {
    /// Something wrong with a file as such.
    pub(crate) fn of_file(file: impl Into<String>, reason: impl Into<String>, remedy: &str) -> Refusal {
        Refusal { file: file.into(), function: None, reason: reason.into(), remedy: remedy.into() }
    }

    /// Something a function of the plugin did.
    pub(crate) fn of_function(
        file: impl Into<String>,
        function: &'static str,
        reason: impl Into<String>,
        remedy: &str,
    ) -> Refusal {
        Refusal { file: file.into(), function: Some(function), reason: reason.into(), remedy: remedy.into() }
    }
}

/// The name in `known` that `wrong` was probably meant to be.
pub(crate) fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(wrong, name), name))
        .min()
        .filter(|(distance, name)| *distance <= name.len().max(3) / 2)
        .map(|(_, name)| name)
}

/// What to do about a plugin that breaks its contract.
pub(crate) const MEND: &str = "mend the plugin";
