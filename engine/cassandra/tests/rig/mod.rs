//! Test fixtures: separate tables for each test in the shared Cassandra, an in-memory `WatchCache`,
//! and a bucketing policy.
#![allow(dead_code)]

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pricedrop_cassandra::{Cassandra, Options, Table, Tables};
use pricedrop_harness::servers;
use pricedrop_model::cache::{CacheKey, Cached, NoCache, WatchCache};
use pricedrop_model::channel::Channel;
use pricedrop_model::plugin::{Bucketing, Error, Plugins, PolicyIdentity, Throttling};
use pricedrop_model::{BucketId, Price, ProductId};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::statement::unprepared::Statement;
use tokio::sync::OnceCell;

/// The prefix of the keyspaces of tests; the process id follows.
const KEYSPACE: &str = "pricedrop_test_";

/// Returns a session that bypasses the adapters.
pub async fn session() -> Session {
    SessionBuilder::new()
        .known_node(servers::cassandra())
        .connection_timeout(Duration::from_secs(60))
        .build()
        .await
        .unwrap()
}

fn address() -> String {
    servers::cassandra()
}

/// Returns the keyspace of this process. Drops those of processes that have ended.
async fn keyspace() -> &'static str {
    static NAME: OnceCell<String> = OnceCell::const_new();
    NAME.get_or_init(|| async {
        let session = session().await;
        let names = session.query_unpaged("SELECT keyspace_name FROM system_schema.keyspaces", ()).await.unwrap();
        let names = names.into_rows_result().unwrap();
        for row in names.rows::<(String,)>().unwrap() {
            let (name,) = row.unwrap();
            let process = name.strip_prefix(KEYSPACE);
            if process.is_some_and(|process| !std::path::Path::new("/proc").join(process).exists()) {
                run(&session, format!("DROP KEYSPACE IF EXISTS {name}")).await;
            }
        }
        let name = format!("{KEYSPACE}{}", std::process::id());
        let cql = format!(
            "CREATE KEYSPACE IF NOT EXISTS {name} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}}"
        );
        run(&session, cql).await;
        name
    })
    .await
}

/// Returns options for tables of this test alone, which do not exist yet.
pub async fn fresh_options() -> Options {
    static TESTS: AtomicUsize = AtomicUsize::new(0);
    let keyspace = keyspace().await;
    let mut options = Options::new(vec![address()], keyspace);
    options.tables = Tables::prefixed(&format!("t{}_", TESTS.fetch_add(1, Ordering::Relaxed)));
    options.drop_after_ms = 6_000;
    // The machine may be busy, and these tests are not about speed.
    options.request_ms = 10_000;
    options.connect_ms = 30_000;
    options
}

/// Changes the schema, with a timeout for a busy machine.
async fn run(session: &Session, cql: String) {
    let mut statement = Statement::new(cql);
    statement.set_request_timeout(Some(Duration::from_secs(120)));
    session.query_unpaged(statement, ()).await.unwrap();
}

/// The tables that reading and writing by bucket needs.
pub const INDEXED: &[Table] = &[Table::Alerts, Table::Buckets, Table::Live, Table::Policies];

/// Creates these tables for this test alone, and returns options for them.
pub async fn options(tables: &[Table]) -> Options {
    let (options, session) = (fresh_options().await, session().await);
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schema");
    for &table in tables {
        let default = table.default_name();
        let cql = std::fs::read_to_string(folder.join(format!("{default}.cql"))).unwrap();
        let full = format!("EXISTS {}.{}", options.keyspace, options.tables.name(table));
        run(&session, cql.replace(&format!("EXISTS {default}"), &full)).await;
    }
    options
}

/// Creates these tables for this test alone, and connects without a cache.
pub async fn open(tables: &[Table]) -> Cassandra {
    options(tables).await.connect(Arc::new(NoCache)).await.unwrap()
}

/// A policy with bucket floor(price / width) - 3.
pub struct Steps {
    identity: PolicyIdentity,
    width: u128,
}

impl Steps {
    pub fn new(name: &str, width: u64) -> Arc<Steps> {
        let identity = PolicyIdentity { name: name.into(), fingerprint: format!("every {width}") };
        Arc::new(Steps { identity, width: u128::from(width) * 1_000_000_000 })
    }

    pub fn bucket(&self, price: Price) -> BucketId {
        let mut wide = [0; 16];
        wide[4..].copy_from_slice(&price.sort_key());
        BucketId((u128::from_be_bytes(wide) / self.width) as i64 - 3)
    }
}

impl Bucketing for Steps {
    fn identity(&self) -> &PolicyIdentity {
        &self.identity
    }

    fn buckets_of(&self, _: &ProductId, prices: &[Price]) -> Result<Vec<BucketId>, Error> {
        Ok(prices.iter().map(|&price| self.bucket(price)).collect())
    }

    fn report_breach(&self, product: &ProductId, what: &str) {
        panic!("{product}: {what}");
    }
}

/// Plugins with one bucketing policy, or none.
pub struct Serving(pub Option<Arc<Steps>>);

impl Plugins for Serving {
    fn bucketing(&self) -> Option<Arc<dyn Bucketing>> {
        self.0.clone().map(|policy| policy as Arc<dyn Bucketing>)
    }
    fn throttling(&self) -> Option<Arc<dyn Throttling>> {
        None
    }
    fn channel(&self, _: &str) -> Option<Arc<dyn Channel>> {
        None
    }
}

/// An in-memory cache that obeys the contract of the port strictly.
#[derive(Default)]
pub struct MemoryCache(Mutex<Held>);

#[derive(Default)]
struct Held {
    keys: HashMap<CacheKey, Bytes>,
    /// How many writers have marked each entry.
    marked: HashMap<CacheKey, usize>,
    tokens: HashMap<CacheKey, u64>,
    next: u64,
}

impl MemoryCache {
    /// Returns the number of cached entries.
    pub fn len(&self) -> usize {
        self.0.lock().unwrap().keys.len()
    }
}

#[async_trait]
impl WatchCache for MemoryCache {
    async fn get(&self, keys: &[CacheKey]) -> Vec<Cached> {
        let mut held = self.0.lock().unwrap();
        let mut answers = Vec::new();
        for key in keys {
            let answer = match held.keys.get(key) {
                _ if held.marked.contains_key(key) => Cached::Pass,
                Some(bytes) => Cached::Hit(bytes.clone()),
                None => {
                    held.next += 1;
                    let lease = held.next;
                    held.tokens.insert(key.clone(), lease);
                    Cached::Fill(lease)
                }
            };
            answers.push(answer);
        }
        answers
    }

    async fn fill(&self, key: &CacheKey, lease: u64, bytes: Bytes) {
        let mut held = self.0.lock().unwrap();
        if held.tokens.get(key) == Some(&lease) {
            held.keys.insert(key.clone(), bytes);
        }
    }

    async fn begin_invalidation(&self, keys: &[CacheKey]) -> Option<u64> {
        let mut held = self.0.lock().unwrap();
        for key in keys {
            *held.marked.entry(key.clone()).or_default() += 1;
            held.tokens.remove(key);
        }
        None
    }

    async fn end_invalidation(&self, keys: &[CacheKey]) -> Option<u64> {
        let mut held = self.0.lock().unwrap();
        for key in keys {
            held.keys.remove(key);
            if let Some(writers) = held.marked.get_mut(key) {
                *writers -= 1;
                if *writers == 0 {
                    held.marked.remove(key);
                }
            }
            held.tokens.remove(key);
        }
        None
    }
}
