//! A check of what the sidecar of a channel allows, by the component that sends.

use std::fmt;
use std::sync::Arc;

use pricedrop_model::channel::Access;

use crate::error::LoadError;
use crate::files::PluginFiles;
use crate::limits::Limits;
use crate::sidecar::Sidecar;

/// Checks hosts, credentials and a mail account when a sidecar is loaded. The error says what is wrong
/// and how to mend it.
#[derive(Clone)]
pub struct AccessCheck(Arc<Check>);

type Check = dyn Fn(&Access) -> Result<(), String> + Send + Sync;

impl AccessCheck {
    /// Makes a check of a function.
    pub fn new(check: impl Fn(&Access) -> Result<(), String> + Send + Sync + 'static) -> AccessCheck {
        AccessCheck(Arc::new(check))
    }

    /// Checks the sidecar of these files. One that cannot be parsed is not refused here: loading it
    /// tells why.
    ///
    /// # Errors
    /// The access is invalid, or a secret or a file that it names is missing.
    pub(crate) fn check(&self, files: &PluginFiles, defaults: &Limits) -> Result<(), LoadError> {
        let Some(text) = &files.sidecar else { return Ok(()) };
        let file = files.sidecar_file();
        let Ok(sidecar) = Sidecar::parse(&file, text, defaults) else { return Ok(()) };
        (self.0)(&sidecar.access).map_err(|reason| LoadError::of_file(file, reason, ""))
    }
}

impl fmt::Debug for AccessCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessCheck")
    }
}
