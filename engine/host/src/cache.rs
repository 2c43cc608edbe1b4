//! A cache of compiled plugins on disk, because compiling takes most of the time of a start.
//!
//! Invariant: compiled code is trusted code. It is read only from a folder that no other user may
//! enter, only under a name made of the plugin's content and the engine's settings, and only after
//! its digest was checked.

use std::fs;
use std::hash::{Hash, Hasher};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};
use wasmtime::component::Component;

use pricedrop_model::Cause;

use crate::digest::{Digest, hex};
use crate::engine::Engine;
use crate::error::Error;
use crate::limits::CACHED_PLUGINS;

/// The folder of compiled plugins, and the hash of the engine's version and settings.
pub(crate) struct Cache {
    folder: PathBuf,
    engine: String,
}

const DIGEST_BYTES: usize = 32;

/// A hasher of the engine's version and settings. Only `write` is used.
struct CompatibilityHash(Sha256);

impl Hasher for CompatibilityHash {
    fn finish(&self) -> u64 {
        0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}

impl Cache {
    /// Opens the folder, or creates it.
    ///
    /// # Errors
    /// The folder cannot be created or made private.
    pub(crate) fn open(folder: PathBuf, engine: &Engine) -> Result<Cache, Error> {
        private_folder(&folder)?;
        let mut hash = CompatibilityHash(Sha256::new());
        engine.wasmtime().precompile_compatibility_hash().hash(&mut hash);
        Ok(Cache { folder, engine: hex(&hash.0.finalize()[..8]) })
    }

    /// Returns the compiled component of this content; none if it is not cached. Updates the file's
    /// modification time, by which `forget_oldest` selects.
    pub(crate) fn load(&self, engine: &Engine, content: &Digest) -> Option<Component> {
        let path = self.path(content);
        let bytes = fs::read(&path).ok()?;
        let (digest, code) = bytes.split_at_checked(DIGEST_BYTES)?;
        if Sha256::digest(code).as_slice() != digest {
            tracing::warn!(file = %path.display(), "compiled plugin does not match its digest; it is compiled again");
            let _ = fs::remove_file(&path);
            return None;
        }
        let component = deserialize(engine, code).ok()?;
        if let Ok(file) = fs::File::options().append(true).open(&path) {
            let _ = file.set_modified(SystemTime::now());
        }
        Some(component)
    }

    /// Stores a compiled component. A failure is logged only: the next start compiles again.
    pub(crate) fn store(&self, content: &Digest, component: &Component) {
        let path = self.path(content);
        let written = component.serialize().map_err(|error| error.to_string()).and_then(|code| {
            let digest = Sha256::digest(&code);
            write_atomically(&path, &[&digest, &code]).map_err(|error| error.to_string())
        });
        match written {
            Ok(()) => self.forget_oldest(),
            Err(error) => {
                tracing::warn!(file = %path.display(), error, "compiled plugin was not stored in the cache")
            }
        }
    }

    fn path(&self, content: &Digest) -> PathBuf {
        self.folder.join(format!("{content}.{}", self.engine))
    }

    fn forget_oldest(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        let mut files: Vec<_> = entries
            .flatten()
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        files.sort();
        for (_, path) in files.iter().rev().skip(CACHED_PLUGINS) {
            let _ = fs::remove_file(path);
        }
    }
}

#[allow(unsafe_code)]
fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the bytes were written by `Component::serialize` of this engine version and these
    // settings (they are in the file's name), are unchanged (the digest matches), and are in a
    // folder that only this user may write.
    unsafe { Component::deserialize(engine.wasmtime(), code) }
}

/// Creates a folder with mode 0700.
///
/// # Errors
/// The folder belongs to another user, or cannot be created or made private.
pub(crate) fn private_folder(path: &Path) -> Result<(), Error> {
    let wrong = |reason: Cause| Error::DataDir { path: path.to_owned(), reason };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| wrong(Cause::of(error)))?;
    let metadata = fs::metadata(path).map_err(|error| wrong(Cause::of(error)))?;
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(wrong(
            "belongs to another user; compiled plugins need a folder that only the engine's user owns".into(),
        ));
    }
    if metadata.mode() & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
            .map_err(|error| wrong(Cause::of(error)))?;
    }
    Ok(())
}

/// Writes a file atomically: to a temporary file beside it, which is then renamed.
pub(crate) fn write_atomically(path: &Path, parts: &[&[u8]]) -> std::io::Result<()> {
    let beside = path.with_extension(format!("{}.partial", std::process::id()));
    let mut file = fs::File::create(&beside)?;
    for part in parts {
        file.write_all(part)?;
    }
    file.sync_all()?;
    fs::rename(&beside, path)
}
