//! Finds damage in the files of the store.
//!
//! The database treats every damage of a journal as the torn end of a write that a crash
//! interrupted: it cuts off what follows. It does not verify the lists of its tables, and creates
//! anew what is missing. So before it opens the files, they are checked here, and afterwards its last
//! commit is compared with the mark, which is stored outside of it:
//!
//! | Found | Conclusion |
//! |---|---|
//! | invalid bytes at the end of the last journal, last commit not before the mark | a torn write, which was not acknowledged |
//! | invalid bytes with valid commits after them | damage |
//! | last commit before the mark | acknowledged commits are lost |
//! | a list of tables with another checksum, or none | damage |
//!
//! Nothing is changed by a check.

mod finding;
mod journal;
pub(super) mod mark;
mod tables;

use std::io;
use std::path::{Path, PathBuf};

pub use finding::Finding;
pub(super) use journal::{Scan, files as journals};

/// The result of reading the files of a store.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// The damage, in the order of the files.
    pub(super) findings: Vec<Finding>,
    /// The journals, the oldest first.
    pub(super) journals: Vec<(PathBuf, Scan)>,
}

/// Reads the journals and the lists of tables of the store in this folder. With `contents`, the
/// tables are read too, which takes as long as reading the whole store from disk.
///
/// # Errors
/// A file cannot be read.
pub(super) fn check(home: &Path, keyspaces: u64, contents: bool) -> io::Result<Checked> {
    let mut checked = Checked::default();
    if !home.join("version").try_exists()? {
        checked.findings.push(Finding::new("store/version", None, "the file is missing"));
    }
    for id in 0..keyspaces {
        checked.findings.extend(tables::check(home, id, contents)?);
    }
    let mut last = None;
    for path in journal::files(home)? {
        let scan = journal::scan(&path, &mut last)?;
        checked.journals.push((path, scan));
    }
    let newest = checked.journals.len().saturating_sub(1);
    for (number, (path, scan)) in checked.journals.iter().enumerate() {
        let name = Path::new("store").join(path.file_name().unwrap_or_default());
        checked.findings.extend(scan.findings(&name, number == newest));
    }
    Ok(checked)
}
