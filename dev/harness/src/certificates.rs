//! Certificate authorities and certificates for one test, made by the program `openssl`.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::Error;

/// The options of a short-lived certificate with a key that is quick to generate.
const REQUEST: &str = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2";

/// An authority, and the certificates it has issued. Their files are deleted with it.
pub struct Authority {
    folder: TempDir,
}

/// A certificate and its key, both PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key, in PKCS#8 and not encrypted.
    pub key: PathBuf,
}

impl Authority {
    /// Creates an authority.
    ///
    /// # Errors
    /// `openssl` is not installed, or the disk is full.
    pub fn new() -> Result<Authority, Error> {
        let authority = Authority { folder: tempfile::tempdir()? };
        authority
            .openssl(&format!("{REQUEST} -subj /CN=authority -keyout authority.key -out authority.pem"))?;
        Ok(authority)
    }

    /// Returns the authority's own certificate, which has the CA flag.
    pub fn own(&self) -> Issued {
        self.issued("authority")
    }

    /// Issues a certificate with this common name and these alternative names, such as
    /// `IP:127.0.0.1,DNS:localhost`.
    ///
    /// # Errors
    /// `openssl` refuses; the error has its output.
    pub fn issue(&self, name: &str, alternatives: &str) -> Result<Issued, Error> {
        self.openssl(&format!(
            "{REQUEST} -subj /CN={name} -CA authority.pem -CAkey authority.key -keyout {name}.key -out {name}.pem \
             -addext subjectAltName={alternatives} -addext basicConstraints=critical,CA:FALSE"
        ))?;
        Ok(self.issued(name))
    }

    fn issued(&self, name: &str) -> Issued {
        let file = |ending: &str| self.folder.path().join(format!("{name}.{ending}"));
        Issued { certificate: file("pem"), key: file("key") }
    }

    fn openssl(&self, arguments: &str) -> Result<(), Error> {
        let made =
            Command::new("openssl").args(arguments.split(' ')).current_dir(self.folder.path()).output();
        let made = made.map_err(|error| format!("openssl: {error}"))?;
        match made.status.success() {
            true => Ok(()),
            false => Err(format!("openssl {arguments}: {}", String::from_utf8_lossy(&made.stderr)).into()),
        }
    }
}
