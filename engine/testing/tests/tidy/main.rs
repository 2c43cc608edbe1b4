//! Checks of the repository itself: dependencies between crates, licences, JSON Schemas, links and
//! names in documents, and rules for source files. They read files and compile nothing.
#![allow(clippy::unwrap_used)]

mod arrows;
mod bans;
mod circles;
mod dependencies;
mod licences;
mod names;
mod promises;
mod quotes;
mod shapes;
mod text;
mod tree;

/// Fails if there are findings, and prints one per line.
fn none(promise: &str, findings: Vec<String>) {
    assert!(findings.is_empty(), "{promise}:\n  {}\n", findings.join("\n  "));
}
