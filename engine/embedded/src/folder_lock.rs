//! Locks the data folder for one process.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use super::error::Error;

/// Creates the folder if necessary, and locks it until the file is closed.
///
/// # Errors
/// Another process has locked it, or it cannot be used.
pub(super) fn lock_folder(folder: &Path) -> Result<File, Error> {
    let refuse = |source| Error::Folder { folder: folder.into(), source };
    fs::create_dir_all(folder).map_err(refuse)?;
    let path = folder.join("lock");
    let file = File::options().create(true).truncate(false).write(true).open(path).map_err(refuse)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::InUse(folder.into())),
        Err(TryLockError::Error(source)) => Err(refuse(source)),
    }
}
