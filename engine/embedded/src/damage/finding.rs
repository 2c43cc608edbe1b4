//! Describes one damage.

use std::fmt;
use std::path::PathBuf;

/// One damage, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file or folder, relative to the data folder.
    pub file: PathBuf,
    /// The position of the first invalid byte, if it is known.
    pub at: Option<u64>,
    /// What is wrong there, and what can be read after it.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(at) = self.at {
            write!(f, " at byte {at}")?;
        }
        write!(f, ": {}", self.what)
    }
}

impl Finding {
    pub(crate) fn new(file: impl Into<PathBuf>, at: Option<u64>, what: impl Into<String>) -> Finding {
        Finding { file: file.into(), at, what: what.into() }
    }
}
