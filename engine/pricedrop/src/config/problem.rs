//! The errors of a configuration: every problem, with its location and its remedy.

use miette::{Diagnostic, NamedSource, SourceSpan};

/// One problem of a configuration.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{message}")]
pub struct Problem {
    /// What is wrong, as a sentence.
    pub message: String,
    /// The file, if the problem is in the file.
    #[source_code]
    pub text: Option<NamedSource<String>>,
    /// The location in the file.
    #[label("{label}")]
    pub span: Option<SourceSpan>,
    /// The label at the location.
    pub label: &'static str,
    /// The remedy.
    #[help]
    pub help: Option<String>,
}

/// The configuration is refused. Lists every problem.
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
    /// Returns a problem that has no location in a file.
    pub fn anywhere(message: String, help: Option<String>) -> Problem {
        Problem { message, text: None, span: None, label: "here", help }
    }
}

/// Returns the known name that is most similar to `name`, if any is similar enough.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let scored = known.map(|candidate| (strsim::jaro_winkler(name, candidate), candidate));
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 >= 0.75).then_some(best.1)
}
