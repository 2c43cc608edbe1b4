//! Secrets from the environment and from files: read when needed, read again
//! when the file changes, never shown.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use pricedrop_model::dispatch::Secret;

use super::limits::SECRET_BYTES;

/// A secret's value. It shows itself to nobody.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Revealed(Arc<str>);

impl Revealed {
    /// The value, for the one place that needs it.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Revealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// A secret that cannot be had now. It may be there the next time.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the environment variable {0} is not set")]
    NotSet(String),
    #[error("{}: {error}", path.display())]
    File { path: PathBuf, error: std::io::Error },
    #[error("{0:?} is empty, too long, or has control characters")]
    Unfit(Secret),
}

/// Reads secrets, remembering files that have not changed.
#[derive(Default)]
pub(super) struct Secrets(Mutex<HashMap<PathBuf, (Version, Revealed)>>);

type Version = (Option<SystemTime>, u64);

impl Secrets {
    pub(super) fn read(&self, secret: &Secret) -> Result<Revealed, Error> {
        match secret {
            Secret::Env(name) => {
                let value = std::env::var(name).map_err(|_| Error::NotSet(name.clone()))?;
                fit(secret, &value)
            }
            Secret::File(path) => self.read_file(secret, path),
        }
    }

    fn read_file(&self, secret: &Secret, path: &Path) -> Result<Revealed, Error> {
        let failed = |error| Error::File { path: path.to_owned(), error };
        let version = version(&fs::metadata(path).map_err(failed)?);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known_version, value)) = known.get(path)
            && *known_version == version
        {
            return Ok(value.clone());
        }
        if version.1 > SECRET_BYTES {
            return Err(Error::Unfit(secret.clone()));
        }
        let value = fs::read_to_string(path).map_err(failed)?;
        let line = value.strip_suffix('\n').unwrap_or(&value);
        let value = fit(secret, line.strip_suffix('\r').unwrap_or(line))?;
        known.insert(path.to_owned(), (version, value.clone()));
        Ok(value)
    }
}

fn version(metadata: &Metadata) -> Version {
    (metadata.modified().ok(), metadata.len())
}

/// A secret goes into a header or a command: no line may end within it.
fn fit(secret: &Secret, value: &str) -> Result<Revealed, Error> {
    if value.is_empty() || value.chars().any(char::is_control) {
        return Err(Error::Unfit(secret.clone()));
    }
    Ok(Revealed(value.into()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_read_again_and_the_value_is_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let secret = Secret::File(path.clone());
        let secrets = Secrets::default();
        assert!(secrets.read(&secret).is_err());
        fs::write(&path, "first\r\n").unwrap();
        let first = secrets.read(&secret).unwrap();
        assert_eq!((first.reveal(), format!("{first:?}").as_str()), ("first", "(secret)"));
        fs::write(&path, "the second\n").unwrap();
        assert_eq!(secrets.read(&secret).unwrap().reveal(), "the second");
        fs::write(&path, "two\nlines").unwrap();
        let shown = secrets.read(&secret).unwrap_err().to_string();
        assert!(shown.contains("control characters") && !shown.contains("two"), "{shown}");
    }
}
