//! Why the store does not start, or what it holds cannot be read.

use std::path::PathBuf;

use pricedrop_model::{Cause, ports};

/// Why the store does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Stop the other process, or name another folder.
    #[error("the data folder {} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// Make the folder writable, or name another one.
    #[error("the data folder {} cannot be used: {source}", .folder.display())]
    Folder {
        /// The data folder.
        folder: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Free the disk or restore the folder; nothing was changed.
    #[error("the store in {} cannot be opened: {reason}", .folder.display())]
    Store {
        /// The data folder.
        folder: PathBuf,
        /// What the database said.
        #[source]
        reason: Cause,
    },
}

/// Stored bytes that are not as they were written.
#[derive(Debug, Clone)]
pub(crate) struct Broken(pub(crate) Cause);

impl From<Broken> for ports::Error {
    fn from(error: Broken) -> Self {
        ports::Error::Fatal(error.0)
    }
}
