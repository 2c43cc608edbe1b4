//! What is wrong with a configuration: every problem, its place, its remedy.

use miette::{Diagnostic, NamedSource, SourceSpan};

/// One thing wrong.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{message}")]
pub struct Problem {
    /// What, as a sentence.
    pub message: String,
    /// The file, where it stands in one.
    #[source_code]
    pub text: Option<NamedSource<String>>,
    /// The place in it.
    #[label("{label}")]
    pub span: Option<SourceSpan>,
    /// A word at the place.
    pub label: &'static str,
    /// How to mend it.
    #[help]
    pub help: Option<String>,
}

/// The configuration is refused, for all of these reasons.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("the configuration is refused ({})", counted(problems.len()))]
pub struct Refused {
    /// Every problem found.
    #[related]
    pub problems: Vec<Problem>,
}

fn counted(problems: usize) -> String {
    match problems {
        1 => "1 problem".into(),
        more => format!("{more} problems"),
    }
}

impl Problem {
    /// A problem that stands nowhere in a file.
    pub fn anywhere(message: String, help: Option<String>) -> Problem {
        Problem { message, text: None, span: None, label: "here", help }
    }
}

/// Of known names the one that was probably meant.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let scored = known.map(|candidate| (strsim::jaro_winkler(name, candidate), candidate));
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 >= 0.75).then_some(best.1)
}
