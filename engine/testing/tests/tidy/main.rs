//! Reads the tree and holds it to what its documents promise: arrows between
//! crates, dependencies, shapes, references, names. Compiles nothing of it.
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

/// Fails with every finding, one a line.
fn none(promise: &str, findings: Vec<String>) {
    assert!(findings.is_empty(), "{promise}:\n  {}\n", findings.join("\n  "));
}
