//! Who a plugin is.

use crate::digest::Digest;

/// Its names, and which files it came from.
#[derive(Debug, Clone)]
pub(crate) struct Meta {
    /// Its file stem.
    pub(crate) stem: String,
    /// Its own id.
    pub(crate) id: String,
    /// `id@version`.
    pub(crate) name: String,
    /// What it says it does.
    pub(crate) summary: String,
    /// Of all its files.
    pub(crate) digest: Digest,
    /// Of the `.wasm` file alone.
    pub(crate) wasm_digest: Digest,
}
