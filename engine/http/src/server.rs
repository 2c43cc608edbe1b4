//! Binds the address, and serves until shutdown.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::api::Api;
use crate::connections::{Limits, accept};
use crate::guard::without_port;
use crate::options::{Error, Options};
use crate::routes;
use crate::state::AppState;

/// A server that is bound to its address and does not serve yet.
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    options: Options,
}

/// Binds the address. An address that other machines can reach requires a token.
///
/// # Errors
/// The configuration has to be corrected, or the address is in use.
pub async fn bind(options: Options) -> Result<Bound, Error> {
    options.check()?;
    let failed = |reason| Error::Listen { listen: options.listen.clone(), reason };
    let listener = TcpListener::bind(&options.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    options.check_exposure(address)?;
    Ok(Bound { listener, address, options })
}

impl Bound {
    /// The bound address with its port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` resolves, then finishes the requests that are being served.
    pub async fn serve(self, api: Api, shutdown: impl Future<Output = ()> + Send + 'static) {
        let most = u32::try_from(self.options.max_concurrent_requests).unwrap_or(u32::MAX);
        let limits = Limits::of(&self.options);
        let state = AppState {
            api,
            permits: Arc::new(Semaphore::new(self.options.max_concurrent_requests)),
            host: without_port(&self.options.listen).into(),
            health_permits: Arc::new(Semaphore::new(HEALTH_REQUESTS)),
            options: Arc::new(self.options),
        };
        let permits = state.permits.clone();
        let connections = accept(self.listener, &routes::router(state), limits, shutdown).await;
        tokio::select! {
            () = connections.shutdown() => {}
            () = all_responded(permits, most) => {}
        }
    }
}

/// Most requests of health and metrics served at a time. They do not share permits with the others, so
/// that slow clients do not make the engine look as if it were not ready.
const HEALTH_REQUESTS: usize = 16;

/// How long shutdown waits for the last responses to be written to their connections.
const LAST_RESPONSES: Duration = Duration::from_secs(1);

/// Returns when no request is being served. A connection that never completes the head of a request
/// is not waited for.
async fn all_responded(permits: Arc<Semaphore>, most: u32) {
    // The semaphore is never closed.
    let _all = permits.acquire_many(most).await;
    tokio::time::sleep(LAST_RESPONSES).await;
}
