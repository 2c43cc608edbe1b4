//! Engines that share one set of servers, and what was told by all of them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pricedrop_harness::kafka::Kafka;
use pricedrop_harness::{Engine, Home, servers};
use serde_json::Value;

/// Where the servers are.
#[derive(Debug, Clone)]
pub struct Servers {
    pub kafka: String,
    pub cassandra: String,
    pub redis: String,
}

impl Servers {
    /// Those that all tests share.
    pub fn shared() -> Servers {
        Servers { kafka: servers::kafka(), cassandra: servers::cassandra(), redis: servers::redis() }
    }
}

/// Topics, tables and keys of one test, and a folder for its engines.
pub struct Cluster {
    pub servers: Servers,
    pub folder: PathBuf,
    pub name: String,
    /// More configuration of every engine.
    pub more: String,
}

pub const PARTITIONS: usize = 4;

impl Cluster {
    /// Names nobody else uses; topics and tables are made.
    pub fn new(servers: Servers, folder: &Path, more: &str) -> Cluster {
        let unique = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
        let name = format!("t{}_{}", std::process::id(), unique % 1_000_000_000);
        let cluster = Cluster { servers, folder: folder.to_owned(), name, more: more.to_owned() };
        let home = cluster.home("setup");
        home.run(&["topics", "apply"]).unwrap();
        home.run(&["schema", "apply"]).unwrap();
        cluster
    }

    /// Where one of its engines lives.
    pub fn home(&self, engine: &str) -> Home {
        let folder = self.folder.join(engine);
        let home = Home::furnish(env!("CARGO_BIN_EXE_pricedrop"), &folder, &self.config()).unwrap();
        home.install("bucketing-floor", "bucketing").unwrap();
        home.install("throttling-coalesce", "throttling").unwrap();
        home
    }

    pub fn topic(&self, name: &str) -> String {
        format!("{}.{name}", self.name)
    }

    pub fn kafka(&self) -> Kafka {
        Kafka { bootstrap: self.servers.kafka.clone() }
    }

    fn config(&self) -> String {
        let Cluster { servers, name, more, .. } = self;
        format!(
            r#"
[stores]
log = "kafka"
watches = "cassandra"
leases = "redis"
cache = "redis"
[kafka]
"bootstrap.servers" = "{kafka}"
"session.timeout.ms" = 6000
"heartbeat.interval.ms" = 500
[stream]
group = "{name}"
start = "earliest"
[topics]
updates = "{name}.price_updates"
notifications = "{name}.user_notifications"
update_dead_letters = "{name}.price_updates.dlq"
notification_dead_letters = "{name}.user_notifications.dlq"
state = "{name}.state"
removals = "{name}.removals"
retries = "{name}.retry"
partitions = {PARTITIONS}
replication = 1
[cassandra]
contact_points = ["{cassandra}"]
keyspace = "{name}"
replication = 1
[redis]
addresses = ["{redis}"]
prefix = "{name}"
[rules]
first_price = "notify"
[http]
listen = "127.0.0.1:0"
max_body = "64MiB"
[data]
folder = "data"
[plugins]
folder = "plugins"
[bucketing]
watchers_above = 40
[dispatch]
enabled = false
{more}
"#,
            kafka = servers.kafka,
            cassandra = servers.cassandra,
            redis = servers.redis,
        )
    }

    /// Sends updates by their products, in order.
    pub fn send(&self, updates: &[String]) {
        let producer = self.kafka().producer().unwrap();
        for update in updates {
            let value: Value = serde_json::from_str(update).unwrap();
            let product = value["productId"].as_str().unwrap();
            producer.send(&self.topic("price_updates"), product, update).unwrap();
        }
        producer.flush().unwrap();
    }

    /// Every notification, when this many are there, nothing is left to read,
    /// and no more came for a while.
    pub fn told(&self, expected: usize) -> Vec<String> {
        let (kafka, begun) = (self.kafka(), Instant::now());
        let follower = kafka.follow(&self.topic("user_notifications")).unwrap();
        let mut told = Vec::new();
        loop {
            told.extend(follower.read(Duration::from_secs(1)));
            let lag = kafka.lag(&self.name, &self.topic("price_updates")).unwrap_or(i64::MAX);
            if lag == 0 && told.len() >= expected {
                // What is too many may come a little later.
                told.extend(follower.read(Duration::from_secs(3)));
                return without_ids(told.into_iter().filter_map(|record| record.value));
            }
            let late = begun.elapsed() > PATIENCE;
            assert!(!late, "{} of {expected} were told, {lag} updates were not read", told.len());
        }
    }
}

/// Longest wait for everybody to be told.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// Notifications without what the twin cannot know: where their update stood.
pub fn without_ids(lines: impl Iterator<Item = String>) -> Vec<String> {
    let without_id = |line: String| {
        let mut value: Value = serde_json::from_str(&line).unwrap();
        value.as_object_mut().unwrap().remove("id").expect("a notification has an id");
        value.to_string()
    };
    let mut lines: Vec<String> = lines.map(without_id).collect();
    lines.sort();
    lines
}

/// What the twin prints of the files in an engine's folder.
pub fn simulated(home: &Home) -> Vec<String> {
    without_ids(crate::files::simulated(home).into_iter())
}

/// An engine that imported `watches.csv` of its folder.
pub fn with_watches(home: &Home) -> Engine {
    let engine = home.start().unwrap();
    home.run(&["watch", "import", "watches.csv", "--url", &engine.url()]).unwrap();
    engine
}
