//! Listens, and serves until told to stop.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};

use crate::api::Api;
use crate::guard::without_port;
use crate::options::{Error, Options};
use crate::routes;
use crate::state::State;

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
