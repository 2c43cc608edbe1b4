//! Connects to the mail server of an account: TCP, TLS from the start or by STARTTLS.

use std::path::Path;
use std::sync::Arc;

use pricedrop_model::channel::{MailAccount, MailTls};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Error;
use crate::tls;

/// A plain or encrypted byte stream.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// How an account's mail server is reached.
pub(crate) struct Server {
    pub(super) host: String,
    port: u16,
    pub(super) tls: MailTls,
    /// The name of this client in EHLO.
    pub(super) hello: String,
    connector: TlsConnector,
}

impl Server {
    /// Prepares connections that trust the public authorities and those of these files.
    ///
    /// # Errors
    /// A certificate file cannot be read or has no certificate, or `hello` is invalid.
    pub(crate) fn new(account: &MailAccount, ca_file: Option<&Path>) -> Result<Server, String> {
        let files: Vec<_> = match account.tls {
            MailTls::None => Vec::new(),
            _ => account.ca_file.as_deref().into_iter().chain(ca_file).collect(),
        };
        let config = tls::config_trusting(&files)?;
        Ok(Server {
            host: account.host.clone(),
            port: account.port,
            tls: account.tls,
            hello: hello(account.hello.as_deref())?,
            connector: TlsConnector::from(Arc::new(config)),
        })
    }

    pub(super) async fn tcp(&self) -> Result<TcpStream, Error> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        // A command waits for its reply, so a delayed packet delays the mail.
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    pub(super) async fn encrypt<S: Stream + 'static>(&self, stream: S) -> Result<Box<dyn Stream>, Error> {
        let name = ServerName::try_from(self.host.clone()).map_err(std::io::Error::other)?;
        Ok(Box::new(self.connector.connect(name, stream).await?))
    }
}

/// Returns the name for EHLO: the configured one, else the name of this machine, or an address
/// literal if that is not a DNS name.
fn hello(configured: Option<&str>) -> Result<String, String> {
    if let Some(name) = configured {
        let wrong = || format!("hello {name:?} is not a DNS name or an address such as [192.0.2.1]");
        return if is_hello(name) { Ok(name.to_owned()) } else { Err(wrong()) };
    }
    let own = hostname::get().ok().and_then(|name| name.into_string().ok());
    Ok(own.filter(|name| is_hello(name)).unwrap_or_else(|| "[127.0.0.1]".to_owned()))
}

fn is_hello(name: &str) -> bool {
    if let Some(address) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let (v4, v6) = (address.parse::<std::net::Ipv4Addr>(), address.strip_prefix("IPv6:"));
        return v4.is_ok() || v6.is_some_and(|v6| v6.parse::<std::net::Ipv6Addr>().is_ok());
    }
    let label = |label: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        !label.is_empty() && label.len() <= 63 && label.bytes().all(fits)
    };
    name.len() <= 255 && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hello_is_a_dns_name_or_an_address_literal() {
        for name in ["mail.example.com", "host", "[192.0.2.1]", "[IPv6:2001:db8::1]"] {
            assert_eq!(hello(Some(name)), Ok(name.to_owned()));
        }
        for name in ["", "a b", "a\r\nRSET", "a..b", "b\u{fc}cher.example", "[192.0.2]", "[::1]", "https://h"]
        {
            assert!(hello(Some(name)).is_err(), "{name:?}");
        }
        assert!(hello(None).is_ok_and(|name| is_hello(&name)));
    }
}
