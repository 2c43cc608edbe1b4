//! The three servers of a run, and the watches that all parts find in them.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use pricedrop_cassandra as cassandra;
use pricedrop_cassandra::Cassandra;
use pricedrop_harness::servers::{Kind, Own};
use pricedrop_kafka::topics::{self, NewTopics};
use pricedrop_kafka::{Settings, Topics};
use pricedrop_model::cache::{NoCache, WatchCache};
use pricedrop_model::plugin::Plugins;
use pricedrop_model::ports::PolicyRegistry;
use pricedrop_redis::{Redis, RedisWatchCache};
use tokio::runtime::Runtime;

use super::fill;
use crate::native;

const KEYSPACE: &str = "bench";

/// The environment variable that names the prefix of keys in Redis.
pub const PREFIX: &str = "PRICEDROP_BENCH_PREFIX";

/// The addresses of the servers. As text they are passed to child processes.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// The bootstrap servers of Kafka.
    pub kafka: String,
    /// A contact point of Cassandra.
    pub cassandra: String,
    /// Redis.
    pub redis: String,
}

impl Addresses {
    /// Formats the addresses as one argument.
    pub fn to_argument(&self) -> String {
        [&*self.kafka, &*self.cassandra, &*self.redis].join("/")
    }

    /// Parses that argument.
    pub fn from_argument(argument: &str) -> Addresses {
        let mut parts = argument.split('/').map(str::to_owned);
        let mut next = || parts.next().unwrap();
        Addresses { kafka: next(), cassandra: next(), redis: next() }
    }
}

/// The servers of this run, which are stopped with it.
pub struct World {
    /// The addresses of the servers.
    pub addresses: Addresses,
    /// The servers by name, for reading their processor time.
    pub servers: Vec<(&'static str, Own)>,
    filled: bool,
    _folder: tempfile::TempDir,
}

impl World {
    /// Starts the servers.
    pub fn start() -> World {
        let begun = Instant::now();
        let folder = tempfile::tempdir().unwrap();
        let start = |name, kind, heap: &[&str]| {
            let options = [&["--fresh"], heap].concat();
            (name, Own::with(kind, &folder.path().join(name), &options).unwrap())
        };
        let servers = vec![
            start("kafka", Kind::Kafka, &["--heap", "1g"]),
            start("cassandra", Kind::Cassandra, &["--heap", "1g"]),
            start("redis", Kind::Redis, &[]),
        ];
        let at = |place: usize| servers[place].1.address().to_owned();
        let addresses = Addresses { kafka: at(0), cassandra: at(1), redis: at(2) };
        say(&format!("servers are up after {:.0} s", begun.elapsed().as_secs_f64()));
        World { addresses, servers, filled: false, _folder: folder }
    }

    /// Writes the watches of both shapes and the index of the large product, once in a run.
    pub fn fill(&mut self) {
        if std::mem::replace(&mut self.filled, true) {
            return;
        }
        let begun = Instant::now();
        let runtime = Runtime::new().unwrap();
        runtime.block_on(async {
            let options = self.addresses.cassandra();
            cassandra::schema::apply(&options).await.unwrap();
            fill::watches(&self.addresses.cassandra, KEYSPACE).await;
            let plugins = native::shipped();
            let bucketing = plugins.bucketing().unwrap();
            let store = options.connect(Arc::new(NoCache)).await.unwrap();
            store.set_plugins(plugins);
            let policies = store.policies();
            policies.activate(bucketing.identity()).await.unwrap();
            say(&format!("watches are written after {:.0} s", begun.elapsed().as_secs_f64()));
            let indexed = policies.repair(&super::shape::Shape::One.product(0)).await.unwrap();
            assert_eq!(indexed, super::shape::TOLD as u64);
        });
        say(&format!("Cassandra is filled after {:.0} s", begun.elapsed().as_secs_f64()));
    }
}

impl Addresses {
    fn cassandra(&self) -> cassandra::Options {
        cassandra::Options::new(vec![self.cassandra.clone()], KEYSPACE)
    }

    /// Connects to the filled Cassandra, with or without Redis in front of it.
    pub async fn watches(&self, cached: bool, plugins: Arc<dyn Plugins>) -> Cassandra {
        let cache: Arc<dyn WatchCache> = match cached {
            true => Arc::new(RedisWatchCache::new(&self.redis())),
            false => Arc::new(NoCache),
        };
        let store = self.cassandra().connect(cache).await.unwrap();
        store.set_plugins(plugins);
        store
    }

    fn redis(&self) -> Redis {
        let mut options =
            pricedrop_redis::Options { addresses: vec![self.redis.parse().unwrap()], ..Default::default() };
        if let Ok(prefix) = std::env::var(PREFIX) {
            options.prefix = prefix;
        }
        Redis::new(options).unwrap()
    }

    /// Creates topics for one notifier alone.
    pub async fn topics(&self, unique: &str, partitions: i32) -> Settings {
        let mut settings = Settings::new(&self.kafka);
        settings.group = unique.to_owned();
        settings.topics = Topics::prefixed(unique);
        topics::apply(&settings, NewTopics { partitions, replication: 1 }).await.unwrap();
        settings
    }
}

/// Returns the name of a temporary folder, which is unique.
pub fn unique(folder: &Path) -> String {
    folder.file_name().unwrap().to_str().unwrap().replace('.', "")
}

/// Prints a line of progress.
pub fn say(what: &str) {
    eprintln!("    {what}");
}
