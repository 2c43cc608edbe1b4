//! Engines that share one set of servers, and the notifications of all of them.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pricedrop_harness::kafka::Kafka;
use pricedrop_harness::{Engine, Home, servers};
use pricedrop_model::Clock;
use pricedrop_model::time::{SystemClock, parse_rfc3339};
use serde_json::Value;

use crate::files::{self, Dice};

/// The addresses of the servers.
#[derive(Debug, Clone)]
pub struct Servers {
    pub kafka: String,
    pub cassandra: String,
    pub redis: String,
}

impl Servers {
    /// Returns the servers that all tests share.
    pub fn shared() -> Servers {
        Servers { kafka: servers::kafka(), cassandra: servers::cassandra(), redis: servers::redis() }
    }
}

/// Servers of one test alone, which it may kill.
pub struct Own {
    pub kafka: servers::Own,
    pub cassandra: servers::Own,
    pub redis: servers::Own,
}

impl Own {
    pub fn new(folder: &Path) -> Own {
        Own {
            kafka: servers::Own::kafka(&folder.join("kafka")).unwrap(),
            cassandra: servers::Own::cassandra(&folder.join("cassandra")).unwrap(),
            redis: servers::Own::redis(&folder.join("redis")).unwrap(),
        }
    }

    pub fn servers(&self) -> Servers {
        Servers {
            kafka: self.kafka.address().to_owned(),
            cassandra: self.cassandra.address().to_owned(),
            redis: self.redis.address().to_owned(),
        }
    }
}

/// The topics, tables and keys of one test, and a folder for its engines.
pub struct Cluster {
    pub servers: Servers,
    pub folder: PathBuf,
    pub name: String,
    /// More settings of `[stream]`.
    pub stream: String,
}

pub const PARTITIONS: usize = 4;

impl Cluster {
    /// Creates topics and tables with unique names.
    pub fn new(servers: Servers, folder: &Path, stream: &str) -> Cluster {
        let unique = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
        let name = format!("t{}_{}", std::process::id(), unique % 1_000_000_000);
        let cluster = Cluster { servers, folder: folder.to_owned(), name, stream: stream.to_owned() };
        let home = cluster.home("setup");
        home.run(&["topics", "apply"]).unwrap();
        home.run(&["schema", "apply"]).unwrap();
        cluster
    }

    /// Creates the home folder of one engine of this cluster.
    pub fn home(&self, engine: &str) -> Home {
        files::home_with(&self.folder.join(engine), &self.config())
    }

    pub fn topic(&self, name: &str) -> String {
        format!("{}.{name}", self.name)
    }

    pub fn kafka(&self) -> Kafka {
        Kafka { bootstrap: self.servers.kafka.clone() }
    }

    fn config(&self) -> String {
        let Cluster { servers, name, stream, .. } = self;
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
{stream}
[topics]
updates = "{name}.price_updates"
notifications = "{name}.user_notifications"
update_dlq = "{name}.price_updates.dlq"
notification_dlq = "{name}.user_notifications.dlq"
state = "{name}.state"
removals = "{name}.removals"
retries = "{name}.retry"
partitions = {PARTITIONS}
replication = 1
[cassandra]
contact_points = ["{cassandra}"]
keyspace = "{name}"
replication = 1
connect_timeout = "30s"
[redis]
addresses = ["{redis}"]
prefix = "{name}"
cache_ttl = "2s"
[rules]
first_price = "notify"
{common}
"#,
            kafka = servers.kafka,
            cassandra = servers.cassandra,
            redis = servers.redis,
            common = files::CONFIG,
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

    /// Returns how many updates are not decided yet.
    pub fn lag(&self) -> i64 {
        self.kafka().lag(&self.name, &self.topic("price_updates")).unwrap_or(i64::MAX)
    }

    /// Waits until everything sent is decided.
    pub fn wait_until_decided(&self) {
        let (mut least, mut moved) = (i64::MAX, Instant::now());
        loop {
            let lag = self.lag();
            if lag == 0 {
                return;
            }
            if lag < least {
                (least, moved) = (lag, Instant::now());
            }
            assert!(moved.elapsed() < PATIENCE, "{lag} updates were not read; {}", self.end_of_log());
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Returns the end of the logs of its engines.
    fn end_of_log(&self) -> String {
        let mut words = String::from("the logs of its engines end with:");
        for engine in std::fs::read_dir(&self.folder).unwrap() {
            let folder = engine.unwrap().path();
            if let Ok(log) = std::fs::read_to_string(folder.join("engine.log")) {
                let lines: Vec<&str> = log.lines().collect();
                let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n");
                write!(words, "\n{}:\n{last}", folder.display()).unwrap();
            }
        }
        words
    }

    /// Returns all notifications, once there are this many, the input is read to its end, and no more
    /// have come for a while.
    pub fn told(&self, expected: usize) -> Vec<String> {
        let follower = self.kafka().follow(&self.topic("user_notifications")).unwrap();
        let (mut told, mut moved) = (Vec::new(), Instant::now());
        loop {
            let more = follower.read(Duration::from_secs(1));
            if !more.is_empty() {
                moved = Instant::now();
            }
            told.extend(more);
            let lag = self.lag();
            if lag == 0 && told.len() >= expected {
                // Surplus notifications may come a little later.
                told.extend(follower.read(Duration::from_secs(3)));
                return without_ids(told.into_iter().filter_map(|record| record.value));
            }
            assert!(
                moved.elapsed() < PATIENCE,
                "{} of {expected} were told, {lag} updates were not read; {}",
                told.len(),
                self.end_of_log()
            );
        }
    }
}

/// Lines of an engine's log that are shown when a wait fails.
const LAST_LINES: usize = 60;

/// Longest wait without progress.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// Removes what `simulate` cannot know: the id, which depends on the position of the update.
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

/// Returns what `simulate` prints for the files in an engine's folder.
pub fn simulated(home: &Home) -> Vec<String> {
    without_ids(files::simulated(home).into_iter())
}

/// Starts an engine and imports `watches.csv` of its folder. Waits until drops use all of them.
pub fn with_watches(home: &Home) -> Engine {
    let engine = home.start().unwrap();
    let report = home.run(&["watch", "import", "watches.csv", "--url", &engine.url()]).unwrap();
    let report = String::from_utf8(report.stdout).unwrap();
    if let Some((_, by)) = report.split_once("drops use the change from ") {
        wait_until(parse_rfc3339(by.split(' ').next().unwrap()).unwrap());
    }
    engine
}

/// Waits for a time, epoch milliseconds, from which on drops use a change. The guarantee is about
/// time, so there is no condition to poll.
pub fn wait_until(effective_by_ms: i64) {
    let wait_ms = effective_by_ms.saturating_sub(SystemClock.now().0);
    std::thread::park_timeout(Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0)));
}

/// Returns this many watches of each product in these updates, in all modes, with
/// thresholds around its prices.
pub fn watches_around(dice: &mut Dice, updates: &[String], each: u64) -> String {
    let mut prices: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for update in updates {
        let update: Value = serde_json::from_str(update).unwrap();
        let (product, price) = (update["productId"].as_str().unwrap(), update["newPrice"].as_f64().unwrap());
        prices.entry(product.to_owned()).or_default().push(price as u64);
    }
    let mut csv = String::from("product_id,price_watch_value,user_id,mode\n");
    for (product, prices) in prices {
        let mut seen = HashSet::new();
        for _ in 0..each {
            let (some, more) = (prices[dice.roll(prices.len() as u64) as usize], dice.roll(40));
            let (threshold, user) = (some.saturating_sub(20) + more, dice.roll(1_000));
            if seen.insert((threshold, user)) {
                let mode = files::MODES[dice.roll(4) as usize];
                writeln!(csv, "{product},{threshold},u{user},{mode}").unwrap();
            }
        }
    }
    csv
}
