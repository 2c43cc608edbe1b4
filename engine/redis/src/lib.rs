//! The cache of watches, the leases of deliveries and the index of retries, in
//! Redis 7 or Valkey. `schema/redis.md` lists the keys.
//!
//! ```text
//! Redis ─┬─ lane ─▶ RedisShelves      (cache: never the truth)
//!        ├─ lane ─▶ RedisLeases       (one claim of many is yours)
//!        └─ lane ─▶ RedisRetryIndex   (what is due; the retry topic is the truth)
//! ```
//!
//! Each has a connection of its own, so that a large shelf holds up no lease.
//!
//! Invariant: no call waits longer than its timeout, and a server that does not
//! answer is soon not waited for at all. Kept by `lane.rs`.
//!
//! Invariant: what is sent may be carried out late, after its caller gave up,
//! and does no harm then. Every script in `lua/` compares a token before it
//! changes what may be somebody else's.
//!
//! Invariant: a server that restarted or took over may remember less than was
//! answered. Cached shelves and the index of retries therefore carry the run id
//! of the server they were written to, and count for that run alone. Leases do
//! not: an old one is better than none.

mod lane;
mod leases;
pub mod limits;
mod marks;
mod metrics;
mod names;
mod options;
mod retries;
mod rights;
mod session;
mod shelves;

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
pub use shelves::RedisShelves;

use lane::Lane;
use names::Names;
use session::Servers;

/// A server, or one of several. Cheap to clone.
#[derive(Clone)]
pub struct Redis {
    options: Arc<Options>,
    servers: Arc<Servers>,
    metrics: Metrics,
    runtime: Handle,
}

impl Redis {
    /// Makes connections as they are needed, on the runtime it is called on.
    /// The server may be away.
    ///
    /// # Errors
    /// The options cannot work: a certificate cannot be read.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn new(options: Options) -> Result<Redis, Error> {
        let servers = Arc::new(Servers::new(&options)?);
        Ok(Redis {
            options: Arc::new(options),
            servers,
            metrics: Metrics::default(),
            runtime: Handle::current(),
        })
    }

    /// What the server says of itself, over a new connection.
    ///
    /// # Errors
    /// It is away, or does not let us in.
    pub async fn facts(&self) -> Result<Facts, Error> {
        let patience = Duration::from_millis(self.options.connect_timeout_ms + self.options.timeout_ms);
        let ask = |mut session: session::Session| async move { session::facts(&mut session.link).await };
        self.lane().call(patience, ask).await
    }

    /// The server's clock.
    ///
    /// # Errors
    /// It is away, or does not let us in.
    pub async fn clock(&self) -> Result<WallTime, Error> {
        let patience = Duration::from_millis(self.options.connect_timeout_ms + self.options.timeout_ms);
        let ask = |mut session: session::Session| async move {
            let (seconds, micros): (i64, i64) = redis::cmd("TIME").query_async(&mut session.link).await?;
            Ok(WallTime(seconds * 1_000 + micros / 1_000))
        };
        self.lane().call(patience, ask).await
    }

    /// Which rights our user lacks, as `ACL SETUSER` takes them.
    ///
    /// # Errors
    /// It is away, or does not let us in.
    pub async fn missing_rights(&self) -> Result<Vec<String>, Error> {
        rights::missing(&self.lane(), &self.options).await
    }

    /// What was counted since the start, over all connections.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    fn lane(&self) -> Lane {
        Lane::new(&self.options, self.servers.clone(), self.metrics.clone(), self.runtime.clone())
    }

    fn names(&self) -> Names {
        Names::new(&self.options.prefix)
    }

    fn timeout(&self) -> Duration {
        Duration::from_millis(self.options.timeout_ms)
    }
}
