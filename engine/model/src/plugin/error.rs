//! The error of a plugin call.

/// A plugin gave no answer, or one that breaks its contract. The caller falls back: from buckets to
/// the plain range, from throttling to passing updates, from a channel's message to the plain
/// template.
#[derive(Debug, Clone, thiserror::Error)]
#[error("plugin {plugin}: {function}: {reason}")]
pub struct Error {
    /// `id@version`.
    pub plugin: String,
    /// The function that was called.
    pub function: &'static str,
    /// What happened.
    pub reason: String,
}
