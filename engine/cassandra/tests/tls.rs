//! Which nodes are trusted over TLS, and which certificate the client presents. The test's nodes
//! only do TLS: they read the first byte of the first request and close the connection.
#![allow(clippy::unwrap_used)]

use std::io::Read as _;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use pricedrop_cassandra::{Error, Options, Tls};
use pricedrop_harness::certificates::{Authority, Issued};
use pricedrop_model::cache::NoCache;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion};

/// The first byte of a CQL request: the protocol version.
const CQL_VERSION: u8 = 4;
/// Longest wait for the client.
const PATIENCE: Duration = Duration::from_secs(60);
const BOTH: &[&SupportedProtocolVersion] = &[&TLS12, &TLS13];
const EACH: [&[&SupportedProtocolVersion]; 2] = [&[&TLS12], &[&TLS13]];

/// The TLS settings of a node.
struct Node<'a> {
    shown: &'a Issued,
    versions: &'static [&'static SupportedProtocolVersion],
    /// The authority that must have issued the client's certificate; `None`: none is required.
    asks_for: Option<&'a Authority>,
}

impl<'a> Node<'a> {
    fn with(shown: &'a Issued) -> Node<'a> {
        Node { shown, versions: BOTH, asks_for: None }
    }

    fn config(&self) -> ServerConfig {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone());
        let builder = builder.with_protocol_versions(self.versions).unwrap();
        let builder = match self.asks_for {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from_pem_file(authority.own().certificate).unwrap()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let certificate = CertificateDer::from_pem_file(&self.shown.certificate).unwrap();
        builder
            .with_single_cert(vec![certificate], PrivateKeyDer::from_pem_file(&self.shown.key).unwrap())
            .unwrap()
    }

    /// Serves one connection. Returns the address, and the byte that was read, or why none was.
    fn start(&self) -> (String, JoinHandle<std::io::Result<u8>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let config = Arc::new(self.config());
        let served = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept()?;
            stream.set_read_timeout(Some(PATIENCE))?;
            let mut connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
            let mut first = [0];
            rustls::Stream::new(&mut connection, &mut stream).read_exact(&mut first)?;
            Ok(first[0])
        });
        (address, served)
    }

    /// Returns whether the adapter sent CQL to the node, and the adapter's error. Every connection
    /// fails, because no node here responds.
    async fn met_by(&self, tls: Tls) -> (bool, String) {
        let (address, served) = self.start();
        let said = connect(address, tls).await.to_string();
        let served = tokio::task::spawn_blocking(|| served.join().unwrap()).await.unwrap();
        (served.is_ok_and(|first| first == CQL_VERSION), said)
    }
}

async fn connect(address: String, tls: Tls) -> Error {
    let mut options = Options::new(vec![address], "pricedrop");
    options.tls = Some(tls);
    options.connect(Arc::new(NoCache)).await.err().unwrap()
}

fn trusting(authority: &Authority) -> Tls {
    Tls { ca_file: Some(authority.own().certificate), identity: None }
}

#[tokio::test]
async fn a_node_is_known_by_its_ip_address_and_by_nothing_else() {
    let authority = Authority::new().unwrap();
    for (alternatives, right) in [
        ("IP:127.0.0.1", true),
        ("DNS:other,IP:127.0.0.2,IP:127.0.0.1", true),
        ("IP:127.0.0.2", false),
        ("DNS:localhost", false),
        ("DNS:127.0.0.1", false),
    ] {
        let shown = authority.issue("127.0.0.1", alternatives).unwrap();
        let (met, said) = Node::with(&shown).met_by(trusting(&authority)).await;
        assert_eq!(met, right, "{alternatives}: {said}");
        assert_eq!(said.contains("certificate not valid for name \"127.0.0.1\""), !right, "{said}");
    }
}

#[tokio::test]
async fn the_authorities_of_a_file_are_the_only_ones() {
    let (ours, other) = (Authority::new().unwrap(), Authority::new().unwrap());
    let shown = ours.issue("node", "IP:127.0.0.1").unwrap();
    let (met, said) = Node::with(&shown).met_by(trusting(&other)).await;
    assert!(!met && said.contains("certificate"), "{said}");
    let both = tempfile::NamedTempFile::new().unwrap();
    let certificates = [&other, &ours].map(|authority| std::fs::read(authority.own().certificate).unwrap());
    std::fs::write(both.path(), certificates.concat()).unwrap();
    let tls = Tls { ca_file: Some(both.path().to_owned()), identity: None };
    let (met, said) = Node::with(&shown).met_by(tls).await;
    assert!(met, "{said}");
}

#[tokio::test]
async fn a_node_whose_certificate_is_that_of_an_authority_is_refused() {
    let authority = Authority::new().unwrap();
    let (met, said) = Node::with(&authority.own()).met_by(trusting(&authority)).await;
    assert!(!met && said.contains("CaUsedAsEndEntity"), "{said}");
}

#[tokio::test]
async fn tls_1_2_and_1_3_are_spoken() {
    let authority = Authority::new().unwrap();
    let shown = authority.issue("node", "IP:127.0.0.1").unwrap();
    for versions in EACH {
        let (met, said) = Node { versions, ..Node::with(&shown) }.met_by(trusting(&authority)).await;
        assert!(met, "{versions:?}: {said}");
    }
}

#[tokio::test]
async fn a_node_that_requests_a_client_certificate_gets_ours() {
    let authority = Authority::new().unwrap();
    let shown = authority.issue("node", "IP:127.0.0.1").unwrap();
    let ours = authority.issue("engine", "DNS:engine").unwrap();
    let identity = Some((ours.certificate, ours.key));
    for versions in EACH {
        let node = Node { versions, asks_for: Some(&authority), ..Node::with(&shown) };
        let (met, said) = node.met_by(trusting(&authority)).await;
        assert!(!met, "{said}");
        let tls = Tls { identity: identity.clone(), ..trusting(&authority) };
        let (met, said) = node.met_by(tls).await;
        assert!(met, "{said}");
    }
}

#[tokio::test]
async fn an_unusable_file_is_named_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        file
    };
    let authority = Authority::new().unwrap();
    let own = authority.own();
    let ours = authority.issue("engine", "DNS:engine").unwrap();
    let text = |file: &Path| std::fs::read_to_string(file).unwrap();
    let trusted = |file| Tls { ca_file: Some(file), identity: None };
    let shown = |certificate: &Path, key: &Path| Tls {
        identity: Some((certificate.to_owned(), key.to_owned())),
        ..trusting(&authority)
    };
    let encrypted = text(&ours.key).replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let none = folder.path().join("none.pem");
    for (tls, words) in [
        (trusted(none.clone()), ["none.pem cannot be used", "No such file"]),
        (trusted(write("empty.pem", "")), ["empty.pem cannot be used", "no certificate in PEM"]),
        (trusted(ours.key.clone()), ["engine.key cannot be used", "no certificate in PEM"]),
        (
            trusted(write("cut.pem", text(&own.certificate).split("-----END").next().unwrap())),
            ["cut.pem cannot be used", "end marker"],
        ),
        (
            trusted(write("odd.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")),
            ["odd.pem cannot be used", "certificate"],
        ),
        (shown(&none, &ours.key), ["none.pem cannot be used", "No such file"]),
        (shown(&ours.certificate, &none), ["none.pem cannot be used", "No such file"]),
        (
            shown(&ours.certificate, &ours.certificate),
            ["engine.pem cannot be used", "no unencrypted private key"],
        ),
        (
            shown(&ours.certificate, &write("encrypted.key", &encrypted)),
            ["encrypted.key cannot be used", "no unencrypted private key"],
        ),
        (
            shown(&ours.certificate, &own.key),
            ["engine.pem with the key", "authority.key cannot be used: keys may not be consistent"],
        ),
    ] {
        let refused = connect("127.0.0.1:1".into(), tls.clone()).await;
        let said = refused.to_string();
        assert!(matches!(refused, Error::Configuration(_)), "{tls:?}: {said}");
        assert!(words.iter().all(|words| said.contains(words)), "{words:?}: {said}");
    }
}
