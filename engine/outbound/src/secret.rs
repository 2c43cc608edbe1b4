//! Reads secrets from environment variables and files, when a request needs them. A file is read
//! again if its modification time or its length changed.
//!
//! Invariant: no log line and no error text contains a secret.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use pricedrop_model::channel::Secret;
use pricedrop_model::sync::lock;

use super::limits::SECRET_BYTES;

/// A secret's value. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Revealed(Arc<str>);

impl Revealed {
    /// Returns the value. Call it only to build a request or a signature.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Revealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Why a secret cannot be read now. A retry may succeed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the environment variable {0} is not set")]
    NotSet(String),
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{0:?} is empty, too long, or has control characters")]
    Invalid(Secret),
}

/// Reads secrets, and caches the content of files by path and form.
#[derive(Default)]
pub(super) struct Secrets(Mutex<HashMap<(PathBuf, Form), (Version, Revealed)>>);

/// The characters that a secret may contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Form {
    /// One line without control characters, for a header or an SMTP command.
    Line,
    /// Text of several lines, such as a key in PEM.
    Text,
}

type Version = (Option<SystemTime>, u64);

impl Secrets {
    /// Reads a secret of one line.
    pub(super) fn read(&self, secret: &Secret) -> Result<Revealed, Error> {
        self.read_form(secret, Form::Line)
    }

    /// Reads a secret that may have several lines: PEM or JSON.
    pub(super) fn read_text(&self, secret: &Secret) -> Result<Revealed, Error> {
        self.read_form(secret, Form::Text)
    }

    /// Checks that a secret of this form can be read now.
    pub(super) fn check(&self, secret: &Secret, form: Form) -> Result<(), Error> {
        self.read_form(secret, form).map(drop)
    }

    fn read_form(&self, secret: &Secret, form: Form) -> Result<Revealed, Error> {
        match secret {
            Secret::Env(name) => {
                let value = std::env::var(name).map_err(|_| Error::NotSet(name.clone()))?;
                fit(secret, &value, form)
            }
            Secret::File(path) => self.read_file(secret, path, form),
        }
    }

    fn read_file(&self, secret: &Secret, path: &Path, form: Form) -> Result<Revealed, Error> {
        let failed = |source| Error::File { path: path.to_owned(), source };
        let metadata = fs::metadata(path).map_err(failed)?;
        if !metadata.is_file() {
            // Reading a pipe could wait for ever.
            return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")));
        }
        let version = version(&metadata);
        let mut known = lock(&self.0);
        if let Some((known_version, value)) = known.get(&(path.to_owned(), form))
            && *known_version == version
        {
            return Ok(value.clone());
        }
        if version.1 > SECRET_BYTES {
            return Err(Error::Invalid(secret.clone()));
        }
        let value = fs::read_to_string(path).map_err(failed)?;
        let line = value.strip_suffix('\n').unwrap_or(&value);
        let value = fit(secret, line.strip_suffix('\r').unwrap_or(line), form)?;
        known.insert((path.to_owned(), form), (version, value.clone()));
        Ok(value)
    }
}

fn version(metadata: &Metadata) -> Version {
    (metadata.modified().ok(), metadata.len())
}

/// Checks the characters of a secret. A line break in one-line secrets would end the header or
/// command early.
fn fit(secret: &Secret, value: &str, form: Form) -> Result<Revealed, Error> {
    let invalid = |c: char| c.is_control() && (form == Form::Line || !matches!(c, '\n' | '\r' | '\t'));
    if value.is_empty() || value.chars().any(invalid) {
        return Err(Error::Invalid(secret.clone()));
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
        // Opening a device or a pipe could wait for ever.
        let device = secrets.read(&Secret::File("/dev/zero".into())).unwrap_err().to_string();
        assert!(device.contains("not a regular file"), "{device}");
        fs::write(&path, "two\nlines").unwrap();
        let shown = secrets.read(&secret).unwrap_err().to_string();
        assert!(shown.contains("control characters") && !shown.contains("two"), "{shown}");
    }
}
