//! Listens, and serves until told to stop.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};

use crate::api::Api;
use crate::guard::without_port;
use crate::routes;

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
    /// Refuses what [`bind`] would refuse, as far as the words show it.
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
    fn guards(&self, address: SocketAddr) -> Result<(), Error> {
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

/// What handlers share.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) api: Api,
    pub(crate) options: Arc<Options>,
    pub(crate) turns: Arc<Semaphore>,
    /// The host it was told to listen on, without the port.
    pub(crate) host: Arc<str>,
}

/// An address taken, not served yet.
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    options: Options,
}

/// Takes the address. Beyond loopback only with a token.
///
/// # Errors
/// The configuration must be mended.
pub async fn bind(options: Options) -> Result<Bound, Error> {
    options.check()?;
    let failed = |reason| Error::Listen { listen: options.listen.clone(), reason };
    let listener = TcpListener::bind(&options.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    options.guards(address)?;
    Ok(Bound { listener, address, options })
}

impl Bound {
    /// The address taken, its port included.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`, then finishes what was begun.
    ///
    /// # Errors
    /// The listener failed.
    pub async fn serve(
        self,
        api: Api,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), Error> {
        let most = u32::try_from(self.options.max_concurrent_requests).unwrap_or(u32::MAX);
        let state = State {
            api,
            turns: Arc::new(Semaphore::new(self.options.max_concurrent_requests)),
            host: without_port(&self.options.listen).into(),
            options: Arc::new(self.options),
        };
        let (turns, (told, stopping)) = (state.turns.clone(), oneshot::channel());
        let shutdown = async {
            shutdown.await;
            // Nobody listens once serving has ended by itself.
            let _ = told.send(());
        };
        let served = axum::serve(self.listener, routes::router(state)).with_graceful_shutdown(shutdown);
        tokio::select! {
            ended = served => ended.map_err(Error::Stopped),
            () = all_answered(stopping, turns, most) => Ok(()),
        }
    }
}

/// How long answers may take on their way out when the engine stops.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Returns when the engine stops and every request that was begun is answered:
/// a connection that never finishes its head is not waited for.
async fn all_answered(stopping: oneshot::Receiver<()>, turns: Arc<Semaphore>, most: u32) {
    if stopping.await.is_err() {
        std::future::pending::<()>().await;
    }
    // The semaphore is never closed.
    let _all = turns.acquire_many(most).await;
    tokio::time::sleep(LAST_ANSWERS).await;
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
