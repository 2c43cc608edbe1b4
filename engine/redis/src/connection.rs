//! A shared connection with a breaker. It reconnects on its own, and no call waits longer than its
//! timeout.
//!
//! Invariant: Redis may execute a command after its call has timed out, and even after commands
//! that were sent later. Every command must be safe in that case. The scripts in `lua/` are.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pricedrop_model::backoff::Backoff;
use pricedrop_model::breaker::{Admission, Breaker};
use pricedrop_model::ports::Error;
use pricedrop_model::sync::lock;
use redis::{RedisError, RedisResult};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::metrics::Metrics;
use super::options::Options;
use super::session::{Servers, Session, is_lost, refusal};

#[derive(Clone)]
enum Link {
    Down(Option<Error>),
    Connecting,
    Up(Session),
}

/// A shared connection. Clones share it.
#[derive(Clone)]
pub(super) struct Connection(Arc<Inner>);

struct Inner {
    servers: Arc<Servers>,
    metrics: Metrics,
    breaker: Mutex<Breaker>,
    /// The reason of the last failed call.
    last_failure: Mutex<String>,
    /// The time from which the breaker's times are measured.
    started: Instant,
    link: watch::Sender<Link>,
    connections: AtomicU64,
    /// Connections run on the runtime on which the connection was created, whatever runtime calls it.
    runtime: Handle,
}

enum Failure {
    NoSession(Error),
    Refused(u64, RedisError),
}

impl Inner {
    /// Returns whether a call may be made. A trial call that never ends holds off others for one
    /// reset timeout at most.
    fn admits(&self) -> bool {
        lock(&self.breaker).admit(self.started.elapsed()) == Admission::Admitted
    }

    fn record_success(&self) {
        lock(&self.breaker).record_success();
    }

    /// Counts a failed call. Returns whether calls are refused now.
    fn record_failure(&self) -> bool {
        lock(&self.breaker).record_failure(self.started.elapsed())
    }
}

impl Connection {
    pub(super) fn new(options: &Options, servers: Arc<Servers>, metrics: Metrics, on: Handle) -> Connection {
        let reset_timeout = Backoff::constant(Duration::from_millis(options.breaker_reset_timeout_ms));
        let breaker = Mutex::new(Breaker::new(options.breaker_threshold, reset_timeout));
        let link = watch::Sender::new(Link::Down(None));
        Connection(Arc::new(Inner {
            servers,
            metrics,
            breaker,
            last_failure: Mutex::default(),
            started: Instant::now(),
            link,
            connections: AtomicU64::new(0),
            runtime: on,
        }))
    }

    /// Sends a request, and waits for the answer for at most `timeout`.
    ///
    /// # Errors
    /// The server did not answer in time, is down, or refused; or the breaker is open.
    pub(super) async fn call<T, F>(
        &self,
        timeout: Duration,
        ask: impl FnOnce(Session) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let metrics = &self.0.metrics;
        if !self.0.admits() {
            metrics.not_tried.inc();
            let last = lock(&self.0.last_failure).clone();
            return Err(Error::Unavailable(
                format!("recent calls of Redis failed, and calls are refused for a while; the last failure: {last}").into(),
            ));
        }
        let asked = async {
            let session = self.session().await.map_err(Failure::NoSession)?;
            let number = session.number;
            ask(session).await.map_err(|error| Failure::Refused(number, error))
        };
        match tokio::time::timeout(timeout, asked).await {
            Ok(Ok(answer)) => {
                metrics.answered.inc();
                self.0.record_success();
                Ok(answer)
            }
            Ok(Err(failure)) => {
                metrics.failed.inc();
                Err(self.failed(failure))
            }
            Err(_) => {
                metrics.timed_out.inc();
                let reason = format!("Redis did not answer within {} ms", timeout.as_millis());
                self.timed_out(&reason);
                Err(Error::Unavailable(reason.into()))
            }
        }
    }

    fn failed(&self, failure: Failure) -> Error {
        match failure {
            Failure::NoSession(error) => {
                *lock(&self.0.last_failure) = error.to_string();
                self.0.record_failure();
                error
            }
            Failure::Refused(number, error) => {
                // A server that answers every call with an error, because its memory is full for
                // example, is of no more use than one that does not answer.
                let error_of_connection = is_lost(&error);
                let refused = refusal(error, "Redis");
                *lock(&self.0.last_failure) = refused.to_string();
                self.0.record_failure();
                if error_of_connection {
                    self.discard(|session| session.number == number);
                }
                refused
            }
        }
    }

    /// Gives the connection up once the breaker opens, because it may be dead.
    fn timed_out(&self, reason: &str) {
        reason.clone_into(&mut lock(&self.0.last_failure));
        if self.0.record_failure() {
            self.discard(|_| true);
        }
    }

    fn discard(&self, which: impl Fn(&Session) -> bool) {
        self.0.link.send_if_modified(|link| match link {
            Link::Up(session) if which(session) => {
                *link = Link::Down(None);
                true
            }
            _ => false,
        });
    }

    async fn session(&self) -> Result<Session, Error> {
        let mut links = self.0.link.subscribe();
        self.connect_if_down();
        loop {
            let link = links.borrow_and_update().clone();
            match link {
                Link::Up(session) => return Ok(session),
                Link::Down(Some(why)) => return Err(why),
                Link::Down(None) => self.connect_if_down(),
                Link::Connecting => {}
            }
            if links.changed().await.is_err() {
                return Err(Error::Unavailable("the engine is stopping".into()));
            }
        }
    }

    fn connect_if_down(&self) {
        let starts = self.0.link.send_if_modified(|link| {
            let down = matches!(link, Link::Down(_));
            if down {
                *link = Link::Connecting;
            }
            down
        });
        if starts {
            let connection = self.0.clone();
            self.0.runtime.spawn(async move {
                let number = connection.connections.fetch_add(1, Ordering::Relaxed);
                let made = connection.servers.connect(number).await;
                if made.is_ok() {
                    connection.metrics.connected.inc();
                }
                connection.link.send_replace(made.map_or_else(|error| Link::Down(Some(error)), Link::Up));
            });
        }
    }
}
