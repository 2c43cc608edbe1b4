//! What a part of the engine says of its own health.

use serde::Serialize;

/// How bad a reason is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The engine does not do its work.
    Error,
    /// It does, and somebody should look.
    Warning,
}

/// Why the engine is not ready, or not well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// The part.
    pub part: String,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in words.
    pub reason: String,
}
