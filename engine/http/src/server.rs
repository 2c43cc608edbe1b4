//! Listens, and serves until told to stop.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::guard::without_port;
use crate::routes;
use crate::seams::Api;

/// How the API is served.
#[derive(Debug, Clone)]
pub struct Options {
    /// `host:port`; port 0 takes a free one.
    pub listen: String,
    /// Every request but `/livez` must carry it.
    pub token: Option<String>,
    /// Longest body, bytes.
    pub max_body: usize,
    /// Most requests served at a time; more are answered 503.
    pub requests: usize,
    /// Most entries of one page of a list.
    pub page_entries: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            listen: "127.0.0.1:8080".into(),
            token: None,
            max_body: 16 << 20,
            requests: 256,
            page_entries: 1_000,
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
    if options.token.as_deref() == Some("") {
        return Err(Error::EmptyToken);
    }
    let failed = |reason| Error::Listen { listen: options.listen.clone(), reason };
    let listener = TcpListener::bind(&options.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    if !address.ip().is_loopback() && options.token.is_none() {
        return Err(Error::Open(address));
    }
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
        let state = State {
            api,
            turns: Arc::new(Semaphore::new(self.options.requests)),
            host: without_port(&self.options.listen).into(),
            options: Arc::new(self.options),
        };
        let served = axum::serve(self.listener, routes::router(state)).with_graceful_shutdown(shutdown);
        served.await.map_err(Error::Stopped)
    }
}
