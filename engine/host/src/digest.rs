//! SHA-256 digests. Two files are the same if and only if their digests are equal.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// A SHA-256 digest in lower-case hex.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub(crate) struct Digest(String);

impl Digest {
    /// Hashes parts, each with its length. A single part is hashed without it, as `sha256sum` does.
    pub(crate) fn of(parts: &[&[u8]]) -> Digest {
        let mut hash = Sha256::new();
        if let [only] = parts {
            hash.update(only);
        } else {
            for part in parts {
                hash.update((part.len() as u64).to_be_bytes());
                hash.update(part);
            }
        }
        Digest(hex(&hash.finalize()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 characters, for logs and file names.
    pub(crate) fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
