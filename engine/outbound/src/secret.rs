//! Secrets from the environment and from files: read when needed, read again
//! when the file changes, never shown.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use pricedrop_model::channel::Secret;
use pricedrop_model::sync::lock;

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
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{0:?} is empty, too long, or has control characters")]
    Unfit(Secret),
}

/// Reads secrets, remembering files that have not changed.
#[derive(Default)]
pub(super) struct Secrets(Mutex<HashMap<(PathBuf, Form), (Version, Revealed)>>);

/// What a secret may look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Form {
    /// One line, for a header or a command.
    Line,
    /// Several lines, such as a key in PEM.
    Text,
}

type Version = (Option<SystemTime>, u64);

impl Secrets {
    /// A secret of one line.
    pub(super) fn read(&self, secret: &Secret) -> Result<Revealed, Error> {
        self.read_form(secret, Form::Line)
    }

    /// A secret of several lines: PEM or JSON.
    pub(super) fn read_text(&self, secret: &Secret) -> Result<Revealed, Error> {
        self.read_form(secret, Form::Text)
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
        let version = version(&fs::metadata(path).map_err(failed)?);
        let mut known = lock(&self.0);
        if let Some((known_version, value)) = known.get(&(path.to_owned(), form))
            && *known_version == version
        {
            return Ok(value.clone());
        }
        if version.1 > SECRET_BYTES {
            return Err(Error::Unfit(secret.clone()));
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

/// A line goes into a header or a command: it must not end within.
fn fit(secret: &Secret, value: &str, form: Form) -> Result<Revealed, Error> {
    let unfit = |c: char| c.is_control() && (form == Form::Line || !matches!(c, '\n' | '\r' | '\t'));
    if value.is_empty() || value.chars().any(unfit) {
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
