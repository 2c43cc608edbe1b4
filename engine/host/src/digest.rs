//! Content digests: what is the same file is decided by these alone.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// A SHA-256 digest in lower-case hex.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub(crate) struct Digest(String);

impl Digest {
    /// Of these parts; where one ends counts.
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

    /// Enough of it for people to tell two apart.
    pub(crate) fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
