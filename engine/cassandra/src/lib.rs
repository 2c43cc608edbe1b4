//! Stores watches, bucketing policies, addresses and current prices in Cassandra or Scylla, and
//! reads watches through a cache.
//!
//! ```text
//! WatchWriter ─▶ mark cache entries ─▶ one batch ─▶ policy row again ─▶ drop cache entries
//!                                      │ alerts, buckets, live
//!                                      ▼
//! WatchView ◀── cache entry ◀── cache ◀── Cassandra ──▶ range, pages read ahead ──▶ WatchView
//! ```
//!
//! The table `price_watch_alerts` is the source of truth. Rows of the index by bucket carry the
//! write times of the rows they copy, so the order in which writes, deletes and repairs arrive
//! does not matter.
//!
//! Invariant: every view opened after a write was acknowledged sees that write. A write finishes
//! within `IN_TIME_MS`, or is repeated with a later timestamp. It is acknowledged a margin after
//! its timestamp. A view's wall time is a margin before its clock. Kept by `write_timestamps` and `apply`.

mod apply;
mod cached_rows;
mod decimal;
pub mod error;
mod hottest;
mod index_build;
mod index_scan;
mod large_products;
pub mod limits;
mod list;
mod merge;
pub mod metrics;
pub mod options;
mod page_stream;
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
mod snapshot_codec;
mod statements;
mod tables;
mod tls;
mod view;
mod watches;
mod write;
mod write_timestamps;

use std::sync::{Arc, Mutex};

use pricedrop_model::cache::WatchCache;
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

use large_products::LargeProducts;
use repair_queue::Repairs;
use requests::Requests;
use schema::Existing;
use shared::Shared;
use write_timestamps::WriteTimestamps;

/// A session with Cassandra, which creates the adapters. Clones share the session.
#[derive(Clone)]
pub struct Cassandra(Arc<Shared>);

impl Options {
    /// Connects, compares the tables with the expected shape, and prepares all statements.
    ///
    /// # Errors
    /// Cassandra is unreachable or refuses the connection, or a table is missing or has another
    /// shape.
    pub async fn connect(self, cache: Arc<dyn WatchCache>) -> Result<Cassandra, Error> {
        let session = self.session().await?;
        let existing = Existing::read(&session, &self.keyspace).await?;
        schema::refuse_other_shapes(&schema::compare(&self, &existing))?;
        let statements = statements::prepare(&session, &self, &existing).await?;
        let (repairs, wanted) = Repairs::new();
        let shared = Shared {
            requests: Requests::new(session, &self),
            statements,
            write_timestamps: WriteTimestamps::new(self.clock.clone()),
            cache,
            plugins: Mutex::new(Arc::new(NoPlugins)),
            migrating: Mutex::new(None),
            known_policies: Mutex::new(None),
            large_products: LargeProducts::default(),
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
    /// Sets where plugins are taken from. Writes need the plugin of the active policy to update
    /// its index.
    pub fn set_plugins(&self, plugins: Arc<dyn Plugins>) {
        *lock(&self.0.plugins) = plugins;
    }

    /// Returns the adapter that reads and writes watches.
    pub fn watches(&self) -> CassandraWatches {
        CassandraWatches::new(self.0.clone())
    }

    /// Returns the adapter of bucketing policies: the active policy, and the migration to another.
    pub fn policies(&self) -> CassandraPolicies {
        CassandraPolicies::new(self.0.clone())
    }

    /// Returns the adapter that stores the addresses of users.
    pub fn recipients(&self) -> CassandraRecipients {
        CassandraRecipients::new(self.0.clone())
    }

    /// Returns the adapter that reads and writes current prices.
    pub fn prices(&self) -> CassandraPrices {
        CassandraPrices(self.0.clone())
    }

    /// Returns what was counted since the process started.
    pub fn metrics(&self) -> &Metrics {
        &self.0.requests.metrics
    }
}
