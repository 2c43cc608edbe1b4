//! Checks the repository against its documents: dependencies, JSON Schemas, references, names. It
//! only reads files and the output of `cargo tree`.
#![allow(clippy::unwrap_used)]

mod arrows;
mod bans;
mod circles;
mod dependencies;
mod licences;
mod names;
mod quotes;
mod shapes;
mod text;
mod tree;

/// Fails with all findings, one a line, if there are any.
fn none(promise: &str, findings: Vec<String>) {
    assert!(findings.is_empty(), "{promise}:\n  {}\n", findings.join("\n  "));
}
