//! A plugin that did not answer.

/// A plugin did not answer, or not by its contract. The caller falls back:
/// bucketing to the plain scan, throttling to passing, a channel to the plain
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
