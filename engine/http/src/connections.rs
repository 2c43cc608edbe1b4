//! Accepts connections and serves each on a task of its own. Clients that are slow or idle hold
//! neither memory nor file descriptors for long:
//!
//! - A connection is closed if the head of its next request does not arrive in time, or if the client
//!   reads nothing of a response for too long.
//! - The number of connections is bounded. One too many closes the connection that has been idle for
//!   longest, so requests are answered while others hold all connections.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1::Builder;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::options::Options;

/// How often connections are searched whose client reads nothing.
const SWEEP: Duration = Duration::from_secs(1);

/// The limits of connections.
pub(crate) struct Limits {
    most: usize,
    head_timeout: Duration,
    read_timeout: Duration,
}

impl Limits {
    pub(crate) fn of(options: &Options) -> Limits {
        Limits {
            most: options.max_connections,
            head_timeout: options.head_timeout,
            read_timeout: options.body_timeout,
        }
    }
}

/// Accepts connections until `shutdown` resolves. Returns those that are open.
pub(crate) async fn accept(
    mut listener: TcpListener,
    router: &Router,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) -> GracefulShutdown {
    let mut http = Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.head_timeout);
    let mut connections =
        Connections { began: Instant::now(), open: Vec::new(), graceful: GracefulShutdown::new() };
    let free = Arc::new(Semaphore::new(limits.most));
    let mut sweep = tokio::time::interval(SWEEP);
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let stream = tokio::select! {
            () = &mut shutdown => return connections.graceful,
            _ = sweep.tick() => {
                connections.close_stalled(limits.read_timeout);
                continue;
            }
            (stream, _) = Listener::accept(&mut listener) => stream,
        };
        if free.available_permits() == 0 {
            connections.close_longest_idle();
        }
        let permit = tokio::select! {
            () = &mut shutdown => return connections.graceful,
            permit = free.clone().acquire_owned() => permit.expect("the semaphore is never closed"),
        };
        connections.serve(stream, permit, &http, router);
    }
}

/// The open connections.
struct Connections {
    began: Instant,
    open: Vec<Weak<State>>,
    graceful: GracefulShutdown,
}

impl Connections {
    /// Serves one connection on a task.
    fn serve(&mut self, stream: TcpStream, permit: OwnedSemaphorePermit, http: &Builder, router: &Router) {
        let state = Arc::new(State::new(self.began));
        self.open.push(Arc::downgrade(&state));
        let (router, counted) = (TowerToHyperService::new(router.clone()), state.clone());
        let service = service_fn(move |request| {
            counted.requests.fetch_add(1, Relaxed);
            let (answer, counted) = (router.call(request), counted.clone());
            async move {
                let answer = answer.await;
                counted.requests.fetch_sub(1, Relaxed);
                answer
            }
        });
        let io = TokioIo::new(Tracked { stream, state: state.clone() });
        let connection = self.graceful.watch(http.serve_connection(io, service));
        tokio::spawn(async move {
            // An error is about this client only: it was slow, or it is gone.
            tokio::select! {
                _ = connection => {}
                () = state.close.notified() => {}
            }
            drop(permit);
        });
    }

    /// Closes the connection that has been without a request and without traffic for longest.
    fn close_longest_idle(&self) {
        let idle =
            self.open.iter().filter_map(Weak::upgrade).filter(|state| state.requests.load(Relaxed) == 0);
        if let Some(state) = idle.min_by_key(|state| state.moved.load(Relaxed)) {
            state.close.notify_one();
        }
    }

    /// Closes connections whose client has read nothing of a response for so long.
    fn close_stalled(&mut self, limit: Duration) {
        let now = millis(self.began);
        self.open.retain(|state| {
            let Some(state) = state.upgrade() else { return false };
            let since = state.stalled.load(Relaxed);
            if since != MOVING && now.saturating_sub(since) > limit.as_millis() as u64 {
                state.close.notify_one();
            }
            true
        });
    }
}

/// The value of [`State::stalled`] while no write waits.
const MOVING: u64 = u64::MAX;

/// What is known of one connection. Times are milliseconds since the server began.
struct State {
    began: Instant,
    /// The requests being served.
    requests: AtomicU32,
    /// When bytes were last read or written.
    moved: AtomicU64,
    /// Since when a write has been waiting for the client, or [`MOVING`].
    stalled: AtomicU64,
    close: Notify,
}

impl State {
    fn new(began: Instant) -> State {
        State {
            began,
            requests: AtomicU32::new(0),
            moved: AtomicU64::new(millis(began)),
            stalled: AtomicU64::new(MOVING),
            close: Notify::new(),
        }
    }

    /// Records whether bytes moved.
    fn note<T>(&self, writes: bool, poll: &Poll<std::io::Result<T>>) {
        let now = millis(self.began);
        if poll.is_ready() {
            self.moved.store(now, Relaxed);
        }
        match (writes, poll.is_ready()) {
            (true, true) => self.stalled.store(MOVING, Relaxed),
            // The first of several waits counts.
            (true, false) => drop(self.stalled.compare_exchange(MOVING, now, Relaxed, Relaxed)),
            (false, _) => {}
        }
    }
}

fn millis(since: Instant) -> u64 {
    since.elapsed().as_millis() as u64
}

/// A stream that records when bytes move.
struct Tracked {
    stream: TcpStream,
    state: Arc<State>,
}

impl AsyncRead for Tracked {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.state.note(false, &poll);
        poll
    }
}

impl AsyncWrite for Tracked {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.state.note(true, &poll);
        poll
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.state.note(true, &poll);
        poll
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
