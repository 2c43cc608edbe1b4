//! Keeps other users of the machine from reading the data folder, which holds addresses.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::fs::Mode;
use rustix::process::umask;

/// Gives new files of this process to its user alone, whatever the umask was, and takes existing ones in
/// the data folder from others.
///
/// # Errors
/// The data folder belongs to another user, or cannot be read.
pub fn keep_private(data: &Path) -> io::Result<()> {
    umask(Mode::RWXG | Mode::RWXO);
    match data.try_exists()? {
        true => narrow(data),
        false => Ok(()),
    }
}

/// Removes the permissions of others from a file, or from a folder and everything in it. Links are not
/// followed.
fn narrow(path: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if metadata.is_symlink() {
        return Ok(());
    }
    let mode = metadata.permissions().mode();
    if mode & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o700))?;
    }
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            narrow(&entry?.path())?;
        }
    }
    Ok(())
}
