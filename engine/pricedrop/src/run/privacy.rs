//! Keeps other users of the machine from reading the data folder, which holds addresses.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::process::umask;

/// Gives new files of this process to its user alone, whatever the umask was, and takes existing ones in
/// the data folder from others. What belongs to another user, such as `lost+found`, stays as it is,
/// with a warning.
pub fn keep_private(data: &Path) {
    umask(Mode::RWXG | Mode::RWXO);
    let mut left = Vec::new();
    narrow(data, &mut left);
    if let Some(first) = left.first() {
        tracing::warn!(
            path = %first.display(),
            count = left.len(),
            "others may be able to read a part of the data folder: its permissions cannot be changed"
        );
    }
}

/// Removes the permissions of others from a file, or from a folder and everything in it. Links are not
/// followed. Adds to `left` what cannot be changed.
fn narrow(path: &Path, left: &mut Vec<PathBuf>) {
    // What does not exist has no readers.
    let Ok(metadata) = fs::symlink_metadata(path) else { return };
    if metadata.is_symlink() {
        return;
    }
    let mode = metadata.permissions().mode();
    if mode & 0o077 != 0 && fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o700)).is_err() {
        left.push(path.to_owned());
    }
    if metadata.is_dir() {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries.for_each(|entry| narrow(&entry.path(), left));
    }
}
