//! The TLS configuration: trusts the public certificate authorities, and those of a file.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Longest time to connect.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest time of a request to a store, its body included.
const REQUEST: Duration = Duration::from_secs(60);

/// Returns an HTTP client for a server that the operator configured, such as the archive's S3. It
/// may be at a private address.
///
/// # Errors
/// The file cannot be read, or holds no certificates.
pub fn trusting_client(ca_file: Option<&Path>) -> Result<Client, String> {
    let client = Client::builder()
        .tls_backend_preconfigured(client_config(ca_file)?)
        .user_agent(concat!("pricedrop/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .timeout(REQUEST)
        .build();
    client.map_err(|error| error.to_string())
}

/// Returns the TLS configuration of all HTTP requests.
pub(super) fn client_config(ca_file: Option<&Path>) -> Result<ClientConfig, String> {
    let mut config = config_trusting(ca_file.as_slice())?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Returns a TLS configuration that trusts the public authorities and those of these files.
///
/// # Errors
/// A file cannot be read, or holds no certificates.
pub(super) fn config_trusting(ca_files: &[&Path]) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for path in ca_files {
        let wrong = |error: &dyn std::fmt::Display| format!("ca_file {}: {error}", path.display());
        // Reading a pipe could wait for ever.
        if std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
            return Err(wrong(&"it is not a regular file"));
        }
        let known = roots.len();
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))? {
            let certificate = certificate.map_err(|error| wrong(&error))?;
            roots.add(certificate).map_err(|error| wrong(&error))?;
        }
        if roots.len() == known {
            return Err(wrong(&"there is no certificate in it"));
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}
