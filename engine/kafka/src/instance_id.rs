//! The name of an instance: made once, kept in its data folder, and locked, so
//! that a restart ends its own open transactions at once and no two processes
//! fence each other off.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::sync::Arc;

/// The name's file in the data folder.
const FILE: &str = "kafka-instance";

/// Why there is no name.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    /// Stop the other process, or name another folder.
    #[error("the data folder {0} is in use by another process")]
    InUse(String),
    /// Make the folder writable, or name another one.
    #[error("the data folder {0} cannot be used: {1}")]
    Folder(String, std::io::Error),
}

/// A locked name; given free when the last of its clones is dropped.
#[derive(Debug, Clone)]
pub struct Slot {
    name: String,
    _locked: Arc<File>,
}

impl Slot {
    /// Takes the name kept in this folder, or makes one.
    ///
    /// # Errors
    /// Somebody else has it, or the folder is of no use.
    pub fn take(folder: &Path) -> Result<Slot, SlotError> {
        let broken = |error| SlotError::Folder(folder.display().to_string(), error);
        std::fs::create_dir_all(folder).map_err(broken)?;
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(folder.join(FILE))
            .map_err(broken)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => SlotError::InUse(folder.display().to_string()),
            TryLockError::Error(error) => broken(error),
        })?;
        let mut name = String::new();
        file.read_to_string(&mut name).map_err(broken)?;
        let mut name = name.trim().to_owned();
        if name.is_empty() {
            name = format!("{:016x}", crate::client::token::fresh_token());
            file.rewind().and_then(|()| file.write_all(name.as_bytes())).map_err(broken)?;
            file.sync_all().map_err(broken)?;
        }
        Ok(Slot { name, _locked: Arc::new(file) })
    }

    /// The transactional id of one of its workers.
    pub fn transactional_id(&self, group: &str, worker: usize) -> String {
        format!("{group}-{}-{worker}", self.name)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_has_the_same_name_and_a_second_process_none() {
        let folder = tempfile::tempdir().unwrap();
        let first = Slot::take(folder.path()).unwrap();
        let id = first.transactional_id("g", 0);
        assert!(matches!(Slot::take(folder.path()), Err(SlotError::InUse(_))));
        drop(first);
        assert_eq!(Slot::take(folder.path()).unwrap().transactional_id("g", 0), id);
        let elsewhere = tempfile::tempdir().unwrap();
        assert_ne!(Slot::take(elsewhere.path()).unwrap().transactional_id("g", 0), id);
    }
}
