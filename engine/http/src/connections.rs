//! Accepts connections and serves each on a task of its own. The number of connections is bounded, and
//! a connection is closed if the head of its next request does not arrive in time, so that clients
//! that are slow or idle hold neither memory nor file descriptors for long.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1::Builder;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::options::Options;

/// The limits of connections.
pub(crate) struct Limits {
    most: usize,
    head_timeout: Duration,
}

impl Limits {
    pub(crate) fn of(options: &Options) -> Limits {
        Limits { most: options.max_connections, head_timeout: options.head_timeout }
    }
}

/// Accepts connections until `shutdown` resolves. Returns those that are open.
pub(crate) async fn accept(
    mut listener: TcpListener,
    router: &Router,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) -> GracefulShutdown {
    let open = GracefulShutdown::new();
    let free = Arc::new(Semaphore::new(limits.most));
    let mut http = Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.head_timeout);
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        // While all are taken, the operating system queues further connections.
        let next = async {
            let permit = free.clone().acquire_owned().await;
            (permit.expect("the semaphore is never closed"), Listener::accept(&mut listener).await.0)
        };
        let (permit, stream) = tokio::select! {
            () = &mut shutdown => return open,
            next = next => next,
        };
        serve(stream, permit, &http, router, &open);
    }
}

/// Serves one connection on a task.
fn serve(
    stream: TcpStream,
    permit: OwnedSemaphorePermit,
    http: &Builder,
    router: &Router,
    open: &GracefulShutdown,
) {
    let service = TowerToHyperService::new(router.clone());
    let connection = open.watch(http.serve_connection(TokioIo::new(stream), service));
    tokio::spawn(async move {
        // An error is about this client only: it was slow, or it is gone.
        let _ = connection.await;
        drop(permit);
    });
}
