//! Watches, policies, addresses and prices in Cassandra (or Scylla), with a
//! cache of shelves in front of the watches.
//!
//! ```text
//! WatchWriter ─▶ mark shelves ─▶ one logged batch ─▶ policy row again ─▶ drop shelves
//!                                 │ alerts, buckets, live
//!                                 ▼
//! WatchView ◀─ shelf ◀─ cache ◀─ Cassandra ──▶ range ─▶ pages read ahead ─▶ WatchView
//! ```
//!
//! `price_watch_alerts` is the truth. The index by bucket carries the write
//! times of the rows it mirrors, so whatever order writes, deletes and repairs
//! arrive in, it ends up the same.
//!
//! Invariant: a write is stamped s, and in time or written anew; it is answered, and
//! a view's wall time lies, a margin later and back that bears clocks that differ.
//! Kept by `stamps` and `apply`.

mod apply;
mod decimal;
pub mod error;
mod hottest;
mod index_build;
pub mod limits;
mod list;
mod merge;
pub mod metrics;
pub mod options;
mod part;
mod policies;
mod policy;
mod policy_migration;
mod price_queue;
mod prices;
pub mod probe;
mod recipients;
mod repair;
mod repair_queue;
mod requests;
mod rows;
mod scan;
pub mod schema;
mod shards;
mod shared;
mod shelf;
mod shelves;
mod sizes;
mod source;
mod stamps;
mod statements;
mod tables;
mod tls;
mod view;
mod walk;
mod watches;
mod write;

use std::sync::{Arc, Mutex};

use pricedrop_model::cache::ShelfCache;
use pricedrop_model::plugin::{NoPlugins, Plugins};
use pricedrop_model::sync::lock;
use tokio::sync::Semaphore;

pub use error::Error;
pub use metrics::Metrics;
pub use options::{Consistency, Options};
pub use policies::{CassandraPolicies, Status};
pub use prices::CassandraPrices;
pub use recipients::CassandraRecipients;
pub use schema::Finding;
pub use tables::{Table, Tables};
pub use tls::Tls;
pub use watches::CassandraWatches;

use repair_queue::Repairs;
use requests::Requests;
use schema::Existing;
use shared::Shared;
use sizes::Sizes;
use stamps::Stamps;

/// A session with Cassandra; hands out the adapters. Clones share it.
#[derive(Clone)]
pub struct Cassandra(Arc<Shared>);

impl Options {
    /// Connects, compares the tables with what they must look like, and
    /// prepares all statements.
    ///
    /// # Errors
    /// Cassandra is away or refuses, or a table is missing or of another shape.
    pub async fn connect(self, cache: Arc<dyn ShelfCache>) -> Result<Cassandra, Error> {
        let session = self.session().await?;
        let existing = Existing::read(&session, &self.keyspace).await?;
        schema::refuse_other_shapes(&schema::compare(&self, &existing))?;
        let statements = statements::prepare(&session, &self, &existing).await?;
        let (repairs, wanted) = Repairs::new();
        let shared = Shared {
            requests: Requests::new(session, &self),
            statements,
            stamps: Stamps::new(self.clock.clone()),
            cache,
            plugins: Mutex::new(Arc::new(NoPlugins)),
            migrating: Mutex::new(None),
            known_policies: Mutex::new(None),
            sizes: Sizes::default(),
            batches: Semaphore::new(limits::BATCHES),
            repairs,
            prices: Arc::default(),
            options: self,
        };
        let shared = Arc::new(shared);
        shared.retire_index().await;
        tokio::spawn(repair::keep_up(Arc::downgrade(&shared), wanted));
        tokio::spawn(prices::keep_up(shared.prices.clone(), Arc::downgrade(&shared)));
        Ok(Cassandra(shared))
    }
}

impl Cassandra {
    /// Tells it where to take plugins from: writes keep the index of the active
    /// policy.
    pub fn set_plugins(&self, plugins: Arc<dyn Plugins>) {
        *lock(&self.0.plugins) = plugins;
    }

    /// Watches, read and written.
    pub fn watches(&self) -> CassandraWatches {
        CassandraWatches::new(self.0.clone())
    }

    /// Which policy's buckets are served, and the move to another one.
    pub fn policies(&self) -> CassandraPolicies {
        CassandraPolicies::new(self.0.clone())
    }

    /// Where users can be reached.
    pub fn recipients(&self) -> CassandraRecipients {
        CassandraRecipients::new(self.0.clone())
    }

    /// Current prices, read and written.
    pub fn prices(&self) -> CassandraPrices {
        CassandraPrices(self.0.clone())
    }

    /// What was counted since the start.
    pub fn metrics(&self) -> &Metrics {
        &self.0.requests.metrics
    }
}
