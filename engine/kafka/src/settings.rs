//! The configuration of all clients: properties of the operator, defaults that differ from
//! librdkafka's, and properties that the protocol requires.

use std::collections::BTreeMap;
use std::fmt;

use rdkafka::ClientConfig;

use crate::limits::{
    FETCH_AGAIN_MS, FETCH_QUEUE_KIB, FLUSHED_LINGER_MS, PARTITION_RECORDS, PRODUCER_QUEUE_KIB,
    PRODUCER_QUEUE_RECORDS, RETRY_BACKOFF_MAX_MS, RETRY_BACKOFF_MS,
};

/// Where reading begins in a topic that the group never read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// After the existing records.
    Latest,
    /// At the first record that is kept.
    Earliest,
}

/// The delivery guarantee of notifications.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Delivery {
    /// Each fan-out appears once to readers of committed records.
    #[default]
    ExactlyOnce,
    /// A crash may repeat notifications; uses no transactions.
    AtLeastOnce,
}

impl Delivery {
    pub(crate) fn is_exact(self) -> bool {
        self == Delivery::ExactlyOnce
    }
}

/// The names of all topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    /// The input.
    pub prices: String,
    /// Notifications.
    pub notifications: String,
    /// Records of the input that are no updates.
    pub dead_updates: String,
    /// Product states; compacted.
    pub state: String,
    /// Removals of `once` watches that were notified.
    pub removals: String,
    /// Deliveries to be tried again; compacted.
    pub retries: String,
    /// Deliveries that failed for good.
    pub dead_deliveries: String,
}

impl Default for Topics {
    fn default() -> Topics {
        Topics {
            prices: "price_updates".into(),
            notifications: "user_notifications".into(),
            dead_updates: "price_updates.dlq".into(),
            state: "pricedrop.state".into(),
            removals: "pricedrop.removals".into(),
            retries: "user_notifications.retry".into(),
            dead_deliveries: "user_notifications.dlq".into(),
        }
    }
}

impl Topics {
    /// Creates the default names with this name and a dot before each, for several engines on one
    /// cluster.
    pub fn prefixed(name: &str) -> Topics {
        let mut topics = Topics::default();
        for topic in [
            &mut topics.prices,
            &mut topics.notifications,
            &mut topics.dead_updates,
            &mut topics.state,
            &mut topics.removals,
            &mut topics.retries,
            &mut topics.dead_deliveries,
        ] {
            *topic = format!("{name}.{topic}");
        }
        topics
    }
}

impl Topics {
    /// Returns the topics that the archiver can archive.
    pub fn archived(&self) -> [&str; 4] {
        [&self.prices, &self.notifications, &self.dead_updates, &self.dead_deliveries]
    }
}

/// The cluster, and the names of topics and groups.
#[derive(Clone)]
pub struct Settings {
    /// Properties of librdkafka, as the operator wrote them.
    pub properties: BTreeMap<String, String>,
    /// The names of the topics.
    pub topics: Topics,
    /// The consumer group of the notifier. The names of other groups begin with it.
    pub group: String,
    /// The timeout of a transaction, milliseconds.
    pub transaction_timeout_ms: u64,
}

impl fmt::Debug for Settings {
    /// Shows only the names of properties, because values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.properties.keys().collect();
        f.debug_struct("Settings")
            .field("properties", &names)
            .field("topics", &self.topics)
            .field("group", &self.group)
            .finish()
    }
}

const COMMITTED: &str = "offsets are committed inside of the transaction, by the engine alone";
const DURABLE: &str = "a commit counts only with every replica in sync";
const ASSIGNED: &str = "the engine takes partitions over one by one, and has to know when they come and go";

/// Properties that the operator may not set, and why.
pub const RESERVED: &[(&str, &str)] = &[
    ("acks", DURABLE),
    ("request.required.acks", DURABLE),
    ("allow.auto.create.topics", "topics are made by `pricedrop topics apply`, with the settings they need"),
    ("auto.commit.enable", COMMITTED),
    ("auto.commit.interval.ms", COMMITTED),
    ("enable.auto.commit", COMMITTED),
    ("enable.auto.offset.store", COMMITTED),
    ("offset.store.method", COMMITTED),
    (
        "auto.offset.reset",
        "a lost offset must stop the engine, not skip prices: stream.start says where a group begins",
    ),
    ("enable.gapless.guarantee", "transactions see to that"),
    ("enable.idempotence", "transactions need it on"),
    ("enable.partition.eof", ASSIGNED),
    ("group.id", "stream.group names the group"),
    ("group.instance.id", "all workers would carry the same one, and fence each other off"),
    ("group.protocol.type", ASSIGNED),
    ("isolation.level", "what was aborted must not be seen"),
    ("partitioner", "notifications are partitioned by userId as Java clients do, for whoever reads them"),
    ("queuing.strategy", "records of one key must stay in order"),
    ("transaction.timeout.ms", "stream.transaction_timeout says it"),
    (
        "transactional.id",
        "it is made of stream.group and the instance's id, so that a restart ends what it left open",
    ),
    ("interceptors", "it takes a function, which no file can name"),
    ("opaque", "it takes a pointer, which no file can name"),
];

impl Settings {
    /// Creates settings of the cluster at these addresses, with the default names.
    pub fn new(bootstrap: &str) -> Settings {
        Settings {
            properties: BTreeMap::from([("bootstrap.servers".into(), bootstrap.into())]),
            topics: Topics::default(),
            group: "pricedrop".into(),
            transaction_timeout_ms: crate::limits::TRANSACTION_TIMEOUT_MS,
        }
    }

    /// Applies the defaults, then the operator's properties, then the fixed ones; the last value
    /// counts.
    fn config(&self, defaults: &[(&str, String)], fixed: &[(&str, String)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("client.id", "pricedrop");
        for (name, value) in defaults {
            config.set(*name, value);
        }
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        for (name, value) in fixed {
            config.set(*name, value);
        }
        config
    }

    /// Returns the group of the archivers.
    pub fn archiver_group(&self) -> String {
        format!("{}.archiver", self.group)
    }

    /// Returns the configuration of a client that queries the cluster, or reads without a group.
    pub fn reader(&self) -> ClientConfig {
        self.config(&fetching(), &reading("pricedrop.reader".into(), "error"))
    }

    /// Returns the configuration of a member of this group.
    pub fn member(&self, group: &str) -> ClientConfig {
        let mut defaults = fetching();
        if self.properties.get("group.protocol").is_none_or(|protocol| protocol == "classic") {
            defaults.push(("partition.assignment.strategy", "cooperative-sticky".into()));
        }
        self.config(&defaults, &reading(group.into(), "error"))
    }

    /// Returns the configuration of a producer that writes in transactions.
    pub fn transactional(&self, id: &str) -> ClientConfig {
        let timeout = self.transaction_timeout_ms.to_string();
        let mut fixed = producing();
        fixed.extend([
            ("transactional.id", id.to_owned()),
            ("transaction.timeout.ms", timeout.clone()),
            ("message.timeout.ms", timeout),
        ]);
        self.config(&flushed(), &fixed)
    }

    /// Returns the configuration of a producer that flushes its records a batch at a time.
    pub fn batching(&self) -> ClientConfig {
        self.config(&flushed(), &producing())
    }

    /// Returns the configuration of a producer whose records are acknowledged one by one.
    pub fn idempotent(&self) -> ClientConfig {
        self.config(&sending(), &producing())
    }

    /// Returns the largest record that a producer accepts, bytes.
    pub fn record_bytes(&self) -> usize {
        let set = self.properties.get("message.max.bytes").and_then(|text| text.parse().ok());
        set.unwrap_or(crate::limits::RECORD_BYTES)
    }
}

fn fetching() -> Vec<(&'static str, String)> {
    vec![
        ("queued.max.messages.kbytes", FETCH_QUEUE_KIB.to_string()),
        ("fetch.wait.max.ms", "100".into()),
        ("fetch.queue.backoff.ms", FETCH_AGAIN_MS.to_string()),
        ("fetch.error.backoff.ms", "50".into()),
        ("reconnect.backoff.max.ms", "2000".into()),
        ("check.crcs", "true".into()),
    ]
}

fn reading(group: String, reset: &str) -> Vec<(&'static str, String)> {
    vec![
        ("group.id", group),
        ("enable.auto.commit", "false".into()),
        ("enable.auto.offset.store", "false".into()),
        ("isolation.level", "read_committed".into()),
        ("auto.offset.reset", reset.into()),
        ("enable.partition.eof", "false".into()),
    ]
}

/// Has short backoffs, because a broker that is still ending a transaction asks to retry, and
/// librdkafka would wait 100 ms by default.
fn sending() -> Vec<(&'static str, String)> {
    vec![
        ("linger.ms", "0".into()),
        ("compression.type", "lz4".into()),
        ("retry.backoff.ms", RETRY_BACKOFF_MS.to_string()),
        ("retry.backoff.max.ms", RETRY_BACKOFF_MAX_MS.to_string()),
        ("reconnect.backoff.max.ms", "2000".into()),
        ("queue.buffering.max.messages", PRODUCER_QUEUE_RECORDS.to_string()),
        ("queue.buffering.max.kbytes", PRODUCER_QUEUE_KIB.to_string()),
    ]
}

/// Has a long linger, because a flush ends it; until then requests fill up. With a short one
/// librdkafka's thread spins while records whose linger has passed wait for a request in flight.
fn flushed() -> Vec<(&'static str, String)> {
    let mut properties = sending();
    properties.push(("linger.ms", FLUSHED_LINGER_MS.to_string()));
    properties.push(("batch.num.messages", PARTITION_RECORDS.to_string()));
    properties
}

fn producing() -> Vec<(&'static str, String)> {
    vec![
        ("enable.idempotence", "true".into()),
        ("acks", "all".into()),
        ("partitioner", "murmur2_random".into()),
    ]
}
