//! Options of the connections to Redis, with their defaults.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// How to reach Redis.
#[derive(Clone, PartialEq, Eq)]
pub struct Options {
    /// The addresses of servers. The first that is a primary is used.
    pub addresses: Vec<Address>,
    /// The user. `None` means the server's default user.
    pub user: Option<String>,
    /// The password of the user.
    pub password: Option<String>,
    /// The number of the database.
    pub database: i64,
    /// Encrypts connections, and checks the server's name.
    pub tls: Option<Tls>,
    /// The prefix of all keys. A colon follows it.
    pub prefix: String,
    /// Timeout of a read of the cache, milliseconds. Large entries have more time, by their size.
    pub cache_timeout_ms: u64,
    /// Timeout of all other calls, milliseconds.
    pub timeout_ms: u64,
    /// Timeout of a connection attempt, milliseconds.
    pub connect_timeout_ms: u64,
    /// Failures in a row after which calls fail at once.
    pub breaker_threshold: u32,
    /// How long calls fail at once until one call tries again, milliseconds.
    pub breaker_reset_timeout_ms: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            addresses: vec![Address::Tcp { host: "127.0.0.1".into(), port: 6379 }],
            user: None,
            password: None,
            database: 0,
            tls: None,
            prefix: "pricedrop".into(),
            cache_timeout_ms: 50,
            timeout_ms: 500,
            connect_timeout_ms: 2_000,
            breaker_threshold: 5,
            breaker_reset_timeout_ms: 1_000,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("addresses", &self.addresses)
            .field("user", &self.user)
            .field("password", &self.password.as_ref().map(|_| "(secret)"))
            .field("database", &self.database)
            .field("tls", &self.tls)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// How connections are encrypted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// A PEM file of the certificate authorities to trust. `None` means the public ones.
    pub ca_file: Option<PathBuf>,
    /// PEM files of the client certificate and its key, if the server requires one.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// The address of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// `host:port`.
    Tcp {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
    /// `unix:/path/of/the.sock`.
    Unix(PathBuf),
}

/// A text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither host:port nor unix:/path")]
pub struct NoAddress(String);

impl FromStr for Address {
    type Err = NoAddress;

    fn from_str(text: &str) -> Result<Address, NoAddress> {
        let wrong = || NoAddress(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err(wrong()) } else { Ok(Address::Unix(path.into())) };
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = bracketed.unwrap_or(host);
        if host.is_empty() || (bracketed.is_none() && host.contains(':')) {
            return Err(wrong());
        }
        Ok(Address::Tcp { host: host.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Address::Tcp { host, port } => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_written() {
        for text in ["redis.example.com:6379", "127.0.0.1:1", "[::1]:6379", "unix:/run/redis.sock"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for text in ["", "redis", ":6379", "redis:x", "::1:6379", "unix:", "redis:70000"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_password_is_never_shown() {
        let options = Options { password: Some("hunter2".into()), ..Options::default() };
        assert!(!format!("{options:?}").contains("hunter2"));
    }
}
