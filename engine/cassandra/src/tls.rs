//! Whom to trust: the authorities of a file, or else those of the system.

use std::path::{Path, PathBuf};

use openssl::error::ErrorStack;
use openssl::ssl::{SslConnector, SslConnectorBuilder, SslFiletype, SslMethod};
use openssl::x509::store::X509StoreBuilder;
use pricedrop_model::Cause;
use scylla::client::session::OpenSsl010Config;

use super::error::Error;

/// Encrypted connections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// The authorities that are trusted; none: the system's.
    pub ca_file: Option<PathBuf>,
    /// Our certificate and its key, where the servers ask for one; PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl Tls {
    /// The driver compares the address of each node with its certificate.
    pub(super) fn context(&self) -> Result<OpenSsl010Config, Error> {
        Ok(OpenSsl010Config::new(self.connector()?))
    }

    fn connector(&self) -> Result<SslConnectorBuilder, Error> {
        let unusable = |error| Error::Configuration(Cause::new("no TLS for Cassandra", error));
        let mut builder = SslConnector::builder(SslMethod::tls_client()).map_err(unusable)?;
        match &self.ca_file {
            Some(file) => trust_only(&mut builder, file)?,
            None => trust_the_system(&mut builder)?,
        }
        if let Some((certificate, key)) = &self.identity {
            builder.set_certificate_chain_file(certificate).map_err(wrong(certificate))?;
            builder.set_private_key_file(key, SslFiletype::PEM).map_err(wrong(key))?;
        }
        Ok(builder)
    }
}

fn wrong(path: &Path) -> impl Fn(ErrorStack) -> Error {
    move |error| {
        Error::Configuration(Cause::new(
            format!("TLS for Cassandra: {} cannot be used", path.display()),
            error,
        ))
    }
}

/// A store of its own, for the builder has put the system's into the first one.
fn trust_only(builder: &mut SslConnectorBuilder, file: &Path) -> Result<(), Error> {
    let empty = X509StoreBuilder::new().map_err(wrong(file))?;
    builder.set_cert_store(empty.build());
    builder.set_ca_file(file).map_err(wrong(file))
}

/// OpenSSL is built in, so it does not know where this system has its authorities.
fn trust_the_system(builder: &mut SslConnectorBuilder) -> Result<(), Error> {
    let found = openssl_probe::probe();
    let folders: Vec<PathBuf> = found.cert_dir.into_iter().filter(|folder| has_files(folder)).collect();
    if found.cert_file.is_none() && folders.is_empty() {
        let missing = "TLS for Cassandra: this system has no certificate authorities; name cassandra.ca_file";
        return Err(Error::Configuration(missing.into()));
    }
    if let Some(file) = &found.cert_file {
        builder.set_ca_file(file).map_err(wrong(file))?;
    }
    for folder in &folders {
        builder.load_verify_locations(None, Some(folder)).map_err(wrong(folder))?;
    }
    Ok(())
}

fn has_files(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use openssl::asn1::Asn1Time;
    use openssl::ec::{EcGroup, EcKey};
    use openssl::hash::MessageDigest;
    use openssl::nid::Nid;
    use openssl::pkey::PKey;
    use openssl::x509::{X509, X509Name};

    use super::*;

    fn authority() -> Vec<u8> {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        let mut name = X509Name::builder().unwrap();
        name.append_entry_by_text("CN", "an authority").unwrap();
        let name = name.build();
        let mut made = X509::builder().unwrap();
        made.set_version(2).unwrap();
        made.set_subject_name(&name).unwrap();
        made.set_issuer_name(&name).unwrap();
        made.set_pubkey(&key).unwrap();
        made.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
        made.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
        made.sign(&key, MessageDigest::sha256()).unwrap();
        made.build().to_pem().unwrap()
    }

    fn trusting(file: PathBuf) -> Tls {
        Tls { ca_file: Some(file), identity: None }
    }

    #[test]
    fn the_authorities_of_a_file_are_the_only_ones() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, authority()).unwrap();
        let connector = trusting(file).connector().unwrap().build();
        assert_eq!(connector.context().cert_store().all_certificates().len(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named() {
        let refused = trusting("nowhere/ca.pem".into()).connector().err().unwrap();
        assert!(
            matches!(&refused, Error::Configuration(said) if said.as_str().contains("nowhere/ca.pem")),
            "{refused}"
        );
    }
}
