//! The health of a part of the engine, as `/readyz` and the API report it.

use serde::Serialize;

/// How severe a reason is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The engine does not work.
    Error,
    /// The engine works, but an operator should look at this.
    Warning,
}

/// Why the engine is not ready, or needs attention.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// The part of the engine.
    pub part: String,
    /// How severe it is.
    pub severity: Severity,
    /// What is wrong, in words.
    pub reason: String,
}
