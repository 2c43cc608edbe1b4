//! Configures TLS to Cassandra: which authorities are trusted, and which client certificate is
//! sent.
//!
//! The driver compares the IP address of each node with the certificate's subject alternative
//! names; host names are not compared.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pricedrop_model::Cause;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::error::Error;

/// Settings of encrypted connections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// A PEM file of trusted authorities. `None` means those of the system.
    pub ca_file: Option<PathBuf>,
    /// PEM files of the client certificate and its key, if the servers require one.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl Tls {
    /// Returns the driver's TLS configuration, for TLS 1.2 or 1.3.
    ///
    /// # Errors
    /// A file cannot be read or used (the message names it), or no authorities are found.
    pub(super) fn config(&self) -> Result<Arc<ClientConfig>, Error> {
        let roots = match &self.ca_file {
            Some(file) => authorities_of(file)?,
            None => authorities_of_the_system()?,
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Configuration(Cause::new("no TLS for Cassandra", error)))?
            .with_root_certificates(roots);
        let config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder
                .with_client_auth_cert(certificates_of(certificate)?, key_of(key)?)
                .map_err(|error| unusable_pair(certificate, key, &error))?,
        };
        Ok(Arc::new(config))
    }
}

/// Reads the certificates of a PEM file, at least one.
fn certificates_of(file: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = read.map_err(|error| unusable(file, why_no_pem(&error, "certificate")))?;
    if certificates.is_empty() {
        return Err(unusable(file, "it holds no certificate in PEM"));
    }
    Ok(certificates)
}

fn key_of(file: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    PrivateKeyDer::from_pem_file(file)
        .map_err(|error| unusable(file, why_no_pem(&error, "unencrypted private key")))
}

fn authorities_of(file: &Path) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates_of(file)? {
        roots.add(certificate).map_err(|error| unusable(file, error))?;
    }
    Ok(roots)
}

/// Loads authorities as OpenSSL does: from the system's folder, or from `SSL_CERT_FILE` and
/// `SSL_CERT_DIR`. Certificates that rustls cannot parse are not trusted.
fn authorities_of_the_system() -> Result<RootCertStore, Error> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let errors: String = found.errors.iter().map(|error| format!("; {error}")).collect();
        let why = "TLS for Cassandra: this system has no certificate authorities";
        return Err(Error::Configuration(format!("{why}{errors}; name cassandra.ca_file").into()));
    }
    for error in found.errors {
        tracing::warn!(%error, "some certificate authorities of this system cannot be read");
    }
    Ok(roots)
}

/// Explains a PEM error. The parser speaks of sections; an operator looks for a certificate or a
/// key.
fn why_no_pem(error: &pem::Error, wanted: &str) -> String {
    match error {
        pem::Error::NoItemsFound => format!("it holds no {wanted} in PEM"),
        pem::Error::Io(error) => error.to_string(),
        other => other.to_string(),
    }
}

fn unusable(file: &Path, why: impl Display) -> Error {
    Error::Configuration(format!("TLS for Cassandra: {} cannot be used: {why}", file.display()).into())
}

fn unusable_pair(certificate: &Path, key: &Path, error: &rustls::Error) -> Error {
    let (certificate, key) = (certificate.display(), key.display());
    let pair = format!("TLS for Cassandra: the certificate {certificate} with the key {key} cannot be used");
    Error::Configuration(format!("{pair}: {error}").into())
}
