//! How the API is served, and what of it cannot be.

use std::net::SocketAddr;
use std::time::Duration;

/// How the API is served.
#[derive(Debug, Clone)]
pub struct Options {
    /// `host:port`; port 0 takes a free one.
    pub listen: String,
    /// Every request but `/livez` must carry it.
    pub token: Option<String>,
    /// Longest body, bytes.
    pub max_body: usize,
    /// Most entries of one body.
    pub body_entries: usize,
    /// Longest a body may take to arrive.
    pub body_timeout: Duration,
    /// Most requests served at a time; more are answered 503.
    pub max_concurrent_requests: usize,
    /// Most entries of one page of a list.
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
            max_concurrent_requests: 256,
            page_entries: 1_000,
        }
    }
}

impl Options {
    /// Refuses what [`bind`](crate::bind) would refuse, as far as the words show it.
    ///
    /// # Errors
    /// The configuration must be mended.
    pub fn check(&self) -> Result<(), Error> {
        match self.token.as_deref() {
            Some("") => return Err(Error::EmptyToken),
            // Others are not read from a header: nobody could ever ask.
            Some(token) if !token.bytes().all(|byte| matches!(byte, b' '..=b'~')) => {
                return Err(Error::OddToken);
            }
            _ => {}
        }
        match self.listen.parse() {
            Ok(address) => self.guards(address),
            Err(_) => Ok(()),
        }
    }

    /// Beyond loopback only with a token.
    pub(crate) fn guards(&self, address: SocketAddr) -> Result<(), Error> {
        match address.ip().is_loopback() || self.token.is_some() {
            true => Ok(()),
            false => Err(Error::Open(address)),
        }
    }
}

/// Why the API cannot be served. All of them: mend the configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Anybody could write.
    #[error("{0} is reachable from other machines, and no token is set")]
    Open(SocketAddr),
    /// The token is empty.
    #[error("the token is empty")]
    EmptyToken,
    /// The token fits no header.
    #[error("the token has characters that no header carries")]
    OddToken,
    /// The address cannot be had.
    #[error("cannot listen on {listen}: {reason}")]
    Listen {
        /// The address asked for.
        listen: String,
        /// Why.
        reason: std::io::Error,
    },
    /// The listener failed.
    #[error("stopped listening: {0}")]
    Stopped(std::io::Error),
}

impl Error {
    /// How to mend it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Error::Open(_) => "name a token with http.token_file or http.token_env, or listen on 127.0.0.1",
            Error::EmptyToken => "put a token into the file or variable that the config names",
            Error::OddToken => "take a token of printable ASCII characters",
            Error::Listen { .. } => "stop what listens there, or set http.listen to another address",
            Error::Stopped(_) => "start the engine again",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_no_header_carries_is_refused() {
        for (token, right) in
            [("s3cret!", true), ("two words", true), ("s\u{e9}cret", false), ("a\nb", false)]
        {
            let options = Options { token: Some(token.into()), ..Options::default() };
            assert_eq!(options.check().is_ok(), right, "{token:?}");
        }
    }
}
