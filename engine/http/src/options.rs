//! Options of the HTTP server, and errors of its configuration.

use std::net::SocketAddr;
use std::time::Duration;

/// Options of the HTTP server.
#[derive(Debug, Clone)]
pub struct Options {
    /// `host:port`; port 0 chooses a free port.
    pub listen: String,
    /// The bearer token that every request except `/livez` must carry; `None`: no token.
    pub token: Option<String>,
    /// Longest body, bytes.
    pub max_body: usize,
    /// Maximum number of entries of a body.
    pub body_entries: usize,
    /// How long a body may take to arrive, and how long a client may read nothing of a response.
    pub body_timeout: Duration,
    /// How long a connection may take to send the head of its next request, also when it is idle.
    pub head_timeout: Duration,
    /// Maximum number of open connections. One too many closes the connection that has been idle for
    /// longest; if all are being served, it waits.
    pub max_connections: usize,
    /// Maximum number of requests served at a time, besides health and metrics; further ones are answered with 503.
    pub max_concurrent_requests: usize,
    /// Maximum number of entries of one page of a list.
    pub page_entries: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            listen: "127.0.0.1:8080".into(),
            token: None,
            max_body: 16 << 20,
            body_entries: 100_000,
            body_timeout: Duration::from_secs(20),
            head_timeout: Duration::from_secs(10),
            max_connections: 1_024,
            max_concurrent_requests: 256,
            page_entries: 1_000,
        }
    }
}

impl Options {
    /// Checks the token and the address without binding it. A host name is checked only by
    /// [`bind`](crate::bind), after it is resolved.
    ///
    /// # Errors
    /// The configuration has to be corrected.
    pub fn check(&self) -> Result<(), Error> {
        match self.token.as_deref() {
            Some("") => return Err(Error::EmptyToken),
            // A header cannot carry other bytes, so no request could ever be authorized.
            Some(token) if !token.bytes().all(|byte| matches!(byte, b' '..=b'~')) => {
                return Err(Error::InvalidToken);
            }
            _ => {}
        }
        match self.listen.parse() {
            Ok(address) => self.check_exposure(address),
            Err(_) => Ok(()),
        }
    }

    /// Refuses an address that other machines can reach if there is no token.
    pub(crate) fn check_exposure(&self, address: SocketAddr) -> Result<(), Error> {
        match address.ip().is_loopback() || self.token.is_some() {
            true => Ok(()),
            false => Err(Error::Open(address)),
        }
    }
}

/// Why the API cannot be served. [`remedy`](Error::remedy) says what an operator does.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Other machines could use the API without a token.
    #[error("{0} is reachable from other machines, but no token is set")]
    Open(SocketAddr),
    /// The token is empty.
    #[error("the token is empty")]
    EmptyToken,
    /// The token has bytes that a header cannot carry.
    #[error("the token has characters that are not allowed in a header")]
    InvalidToken,
    /// The address cannot be bound.
    #[error("cannot listen on {listen}: {reason}")]
    Listen {
        /// The configured address.
        listen: String,
        /// The error of the operating system.
        reason: std::io::Error,
    },
}

impl Error {
    /// Returns what an operator does about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Error::Open(_) => {
                "configure a token with http.token_file or http.token_env, or listen on 127.0.0.1"
            }
            Error::EmptyToken => "write a token into the file or variable that the configuration names",
            Error::InvalidToken => "use a token of printable ASCII characters",
            Error::Listen { .. } => {
                "stop the process that listens there, or set http.listen to another address"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_is_no_valid_header_value_is_refused() {
        for (token, right) in
            [("s3cret!", true), ("two words", true), ("s\u{e9}cret", false), ("a\nb", false)]
        {
            let options = Options { token: Some(token.into()), ..Options::default() };
            assert_eq!(options.check().is_ok(), right, "{token:?}");
        }
    }
}
