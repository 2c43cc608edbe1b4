//! The identity of a plugin.

use crate::digest::Digest;

/// The names of a plugin, and the digests of its files.
#[derive(Debug, Clone)]
pub(crate) struct Meta {
    /// The file stem.
    pub(crate) stem: String,
    /// The id that `describe` returned.
    pub(crate) id: String,
    /// `id@version`.
    pub(crate) name: String,
    /// The summary that `describe` returned.
    pub(crate) summary: String,
    /// The digest of all files: the `.wasm` file, the sidecar, the templates.
    pub(crate) digest: Digest,
    /// The digest of the `.wasm` file.
    pub(crate) wasm_digest: Digest,
}
