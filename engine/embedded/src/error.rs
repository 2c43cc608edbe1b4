//! Errors of opening the store, and of rows that cannot be decoded.

use std::path::PathBuf;

use pricedrop_model::{Cause, ports};

use super::damage::Finding;

/// Why the store does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process uses the folder. Stop it, or configure another folder.
    #[error("the data folder {} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// The folder cannot be used. Make it writable, or configure another one.
    #[error("the data folder {} cannot be used: {source}", .folder.display())]
    Folder {
        /// The data folder.
        folder: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// Files of the store are damaged or missing. Nothing was changed; see [`crate::salvage`].
    #[error("the store in {} is damaged: {}", .folder.display(), listed(.findings))]
    Damaged {
        /// The data folder.
        folder: PathBuf,
        /// The damage, with its places.
        findings: Vec<Finding>,
    },
    /// The database cannot be opened. Free disk space or restore the folder; nothing was changed.
    #[error("the store in {} cannot be opened: {reason}", .folder.display())]
    Store {
        /// The data folder.
        folder: PathBuf,
        /// The error of the database.
        #[source]
        reason: Cause,
    },
}

/// How many findings a message lists.
const LISTED: usize = 3;

/// Lists the first findings in one line.
pub(crate) fn listed(findings: &[Finding]) -> String {
    let mut text: Vec<String> = findings.iter().take(LISTED).map(Finding::to_string).collect();
    if findings.len() > LISTED {
        text.push(format!("and {} more", findings.len() - LISTED));
    }
    text.join("; ")
}

/// A stored row that cannot be decoded.
#[derive(Debug, Clone)]
pub(crate) struct Broken(pub(crate) Cause);

impl From<Broken> for ports::Error {
    fn from(error: Broken) -> Self {
        ports::Error::Fatal(error.0)
    }
}
