//! The id of an instance: generated once, stored in its data folder, and locked. A restart uses the
//! same transactional ids, so it ends its own open transactions at once. The lock prevents two
//! processes from fencing each other off.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::sync::Arc;

/// The file of the id, in the data folder.
const FILE: &str = "kafka-instance";

/// Why an instance cannot take an id.
#[derive(Debug, thiserror::Error)]
pub enum InstanceIdError {
    /// Stop the other process, or name another folder.
    #[error("the data folder {0} is in use by another process")]
    InUse(String),
    /// Make the folder writable, or name another one.
    #[error("the data folder {0} cannot be used: {1}")]
    Folder(String, std::io::Error),
}

/// A locked id. It is unlocked when the last of its clones is dropped.
#[derive(Debug, Clone)]
pub struct InstanceId {
    name: String,
    locked: Arc<File>,
}

impl InstanceId {
    /// Takes the id that is stored in this folder, or generates one.
    ///
    /// # Errors
    /// Another process has locked it, or the folder cannot be used.
    pub fn take(folder: &Path) -> Result<InstanceId, InstanceIdError> {
        let broken = |error| InstanceIdError::Folder(folder.display().to_string(), error);
        std::fs::create_dir_all(folder).map_err(broken)?;
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(folder.join(FILE))
            .map_err(broken)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => InstanceIdError::InUse(folder.display().to_string()),
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
        Ok(InstanceId { name, locked: Arc::new(file) })
    }

    /// Keeps it locked until the process exits. Work that a stop did not wait for may still be running
    /// when the last copy is dropped.
    pub fn lock_until_exit(&self) {
        std::mem::forget(self.locked.clone());
    }

    /// Returns the transactional id of one of its workers.
    pub fn transactional_id(&self, group: &str, worker: usize) -> String {
        format!("{group}-{}-{worker}", self.name)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_has_the_same_id_and_a_second_process_none() {
        let folder = tempfile::tempdir().unwrap();
        let first = InstanceId::take(folder.path()).unwrap();
        let id = first.transactional_id("g", 0);
        assert!(matches!(InstanceId::take(folder.path()), Err(InstanceIdError::InUse(_))));
        drop(first);
        assert_eq!(InstanceId::take(folder.path()).unwrap().transactional_id("g", 0), id);
        let elsewhere = tempfile::tempdir().unwrap();
        assert_ne!(InstanceId::take(elsewhere.path()).unwrap().transactional_id("g", 0), id);
    }
}
