//! The Redis adapter (Redis 7 or Valkey): the cache of watches, the leases of deliveries and the
//! index of retries. `schema/redis.md` lists the keys.
//!
//! ```text
//! Redis ─┬─ connection ─▶ RedisWatchCache   (a copy of watches in the store)
//!        ├─ connection ─▶ RedisLeases       (one of several concurrent claims succeeds)
//!        └─ connection ─▶ RedisRetryIndex   (a copy of the retry topic, by due time)
//! ```
//!
//! Each adapter has its own connection, so that a large cache entry does not delay a lease.
//!
//! Invariant: no call waits longer than its timeout. If a server does not answer, the breaker of
//! its connection opens, and further calls fail at once. See `connection.rs`.
//!
//! Invariant: a command that is executed late, after its caller gave up, does no harm. The scripts
//! in `lua/` compare a token before they change data that may belong to another process. The
//! scripts that compare none are harmless: a late `confirm` sets what is already true, and a late
//! `begin_invalidation`, `end_invalidation` or `retries_clear` costs a refill or a rebuild.
//!
//! Invariant: a server that restarted, or a promoted replica, may have lost acknowledged writes. So
//! cache entries and the retry index contain the run id of their server, and are ignored after it
//! changes. Leases do not contain it, because a lease that survives a restart still prevents
//! repeats.

mod connection;
mod leases;
pub mod limits;
mod marks;
mod metrics;
mod names;
mod options;
mod retries;
mod rights;
mod session;
mod watch_cache;

use std::sync::Arc;
use std::time::Duration;

use pricedrop_model::WallTime;
use pricedrop_model::ports::Error;
use tokio::runtime::Handle;

pub use leases::RedisLeases;
pub use metrics::Metrics;
pub use options::{Address, NoAddress, Options, Tls};
pub use retries::RedisRetryIndex;
pub use session::Facts;
pub use watch_cache::RedisWatchCache;

use connection::Connection;
use names::Names;
use session::Servers;

/// A Redis server. If several addresses are configured, it is the first that answers and is a
/// primary. Cheap to clone.
#[derive(Clone)]
pub struct Redis {
    options: Arc<Options>,
    servers: Arc<Servers>,
    metrics: Metrics,
    runtime: Handle,
}

impl Redis {
    /// Creates connections when they are needed, on the current runtime. The server may be down.
    ///
    /// # Errors
    /// A certificate cannot be read, or there is no address.
    ///
    /// # Panics
    /// There is no current runtime.
    pub fn new(options: Options) -> Result<Redis, Error> {
        let servers = Arc::new(Servers::new(&options)?);
        Ok(Redis {
            options: Arc::new(options),
            servers,
            metrics: Metrics::default(),
            runtime: Handle::current(),
        })
    }

    /// Reads version, role and eviction policy of the server, over a new connection.
    ///
    /// # Errors
    /// The server is down, or refuses access.
    pub async fn facts(&self) -> Result<Facts, Error> {
        let ask = |mut session: session::Session| async move { session::facts(&mut session.link).await };
        self.call_once(ask).await
    }

    /// Checks that the server can be used: it is reachable, suitable, and accepts writes.
    ///
    /// # Errors
    /// `Fatal`: it is unsuitable, for example in cluster mode, or refuses access. `Unavailable`: it is
    /// down, or refuses writes, for example because its memory is full.
    pub async fn check(&self) -> Result<(), Error> {
        let key = format!("{}:doctor", self.options.prefix);
        let write = |mut session: session::Session| async move {
            redis::cmd("SET").arg(&key).arg(1).arg("PX").arg(1_000).exec_async(&mut session.link).await?;
            redis::cmd("DEL").arg(&key).exec_async(&mut session.link).await
        };
        self.call_once(write).await
    }

    /// Reads the time of the server's clock.
    ///
    /// # Errors
    /// The server is down, or refuses access.
    pub async fn clock(&self) -> Result<WallTime, Error> {
        let ask = |mut session: session::Session| async move {
            let (seconds, micros): (i64, i64) = redis::cmd("TIME").query_async(&mut session.link).await?;
            Ok(WallTime(seconds * 1_000 + micros / 1_000))
        };
        self.call_once(ask).await
    }

    /// Makes a call over a new connection.
    async fn call_once<T, F>(&self, call: impl FnOnce(session::Session) -> F) -> Result<T, Error>
    where
        F: Future<Output = redis::RedisResult<T>>,
    {
        let timeout = Duration::from_millis(self.options.connect_timeout_ms + self.options.timeout_ms);
        self.connection().call(timeout, call).await
    }

    /// Finds the rights that the engine's user does not have, in the notation of `ACL SETUSER`.
    ///
    /// # Errors
    /// The server is down, or refuses access.
    pub async fn missing_rights(&self) -> Result<Vec<String>, Error> {
        rights::missing(&self.connection(), &self.options).await
    }

    /// Returns the metrics of all connections since the start.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    fn connection(&self) -> Connection {
        Connection::new(&self.options, self.servers.clone(), self.metrics.clone(), self.runtime.clone())
    }

    fn names(&self) -> Names {
        Names::new(&self.options.prefix)
    }

    fn timeout(&self) -> Duration {
        Duration::from_millis(self.options.timeout_ms)
    }
}
