//! The Cassandra adapters pass the conformance suites of their ports on a real Cassandra, with
//! and without a cache and an index.
#![allow(clippy::unwrap_used)]

mod rig;

use std::sync::Arc;

use pricedrop_cassandra::{Cassandra, CassandraPolicies, CassandraRecipients, CassandraWatches, Table};
use pricedrop_model::plugin::Bucketing;
use pricedrop_model::ports::PolicyRegistry;
use rig::{INDEXED, MemoryCache, Serving, Steps, open, options};

mod watches {
    use super::*;

    async fn fresh() -> (CassandraWatches, Cassandra) {
        let cassandra = open(&[Table::Alerts]).await;
        (cassandra.watches(), cassandra)
    }

    pricedrop_testing::conform!(fresh, watches);
}

mod cached_and_indexed_watches {
    use super::*;

    async fn fresh() -> (CassandraWatches, Cassandra) {
        let cassandra = options(INDEXED).await.connect(Arc::new(MemoryCache::default())).await.unwrap();
        let policy = Steps::new("steps@1+a", 10);
        cassandra.set_plugins(Arc::new(Serving(Some(policy.clone()))));
        cassandra.policies().activate(policy.identity()).await.unwrap();
        (cassandra.watches(), cassandra)
    }

    pricedrop_testing::conform!(fresh, watches);
    pricedrop_testing::conform!(fresh, exact_summaries);
}

mod policies {
    use super::*;

    async fn fresh() -> (CassandraPolicies, Cassandra) {
        let cassandra = open(INDEXED).await;
        (cassandra.policies(), cassandra)
    }

    pricedrop_testing::conform!(fresh, policies);
}

mod recipients {
    use super::*;

    async fn fresh() -> (CassandraRecipients, Cassandra) {
        let cassandra = open(&[Table::Alerts, Table::Channels]).await;
        (cassandra.recipients(), cassandra)
    }

    pricedrop_testing::conform!(fresh, recipients);
}
