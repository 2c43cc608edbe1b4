//! The fields of Kafka, Cassandra and Redis as the options of their adapters.

use std::collections::BTreeMap;

use std::path::PathBuf;

use pricedrop_cassandra as cassandra;
use pricedrop_kafka as kafka;
use pricedrop_model::notification::Format;
use pricedrop_redis as redis;

use super::kafka::Property;
use super::{Config, Refused, secret};

/// What the engine stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stores {
    /// Whether the log is Kafka.
    pub kafka: bool,
    /// Whether watches, addresses and prices lie in Cassandra.
    pub cassandra: bool,
    /// Whether leases and retries lie in Redis.
    pub redis_leases: bool,
    /// Whether watches are cached in Redis.
    pub redis_cache: bool,
}

impl Stores {
    /// Whether Redis is configured at all.
    pub fn redis(self) -> bool {
        self.redis_leases || self.redis_cache
    }

    /// Whether a process asks Redis by itself: leases are the dispatcher's alone.
    pub fn asks_redis(self, dispatches: bool) -> bool {
        self.redis_cache || (self.redis_leases && dispatches)
    }

    /// Whether a part of the state is embedded: no other instance sees it.
    pub fn alone(self) -> bool {
        !(self.kafka && self.cassandra && self.redis_leases)
    }
}

impl Config {
    /// What was chosen.
    pub fn stores(&self) -> Stores {
        let kafka = self.text("stores.log") == Some("kafka");
        let chosen = |name: &str, server: &str| match self.text(name) {
            Some(word) => word == server,
            None => kafka,
        };
        Stores {
            kafka,
            cassandra: chosen("stores.watches", "cassandra"),
            redis_leases: chosen("stores.leases", "redis"),
            redis_cache: self.text("stores.cache") == Some("redis"),
        }
    }

    /// The properties for librdkafka, their secrets read.
    ///
    /// # Errors
    /// A secret cannot be had.
    pub fn kafka_properties(&self) -> Result<BTreeMap<String, String>, Refused> {
        let resolved = self.properties().iter().map(|(name, property)| {
            let value = match property {
                Property::Plain(text) | Property::Told(text) => text.clone(),
                Property::Secret(place) => secret::read(&format!("[kafka] \"{name}\""), place)?,
            };
            Ok((name.clone(), value))
        });
        resolved.collect()
    }

    /// Where Kafka is, and under which names we work there. A shadow has a group
    /// and states of its own.
    ///
    /// # Errors
    /// A secret cannot be had.
    pub fn kafka(&self, shadow: bool) -> Result<kafka::Settings, Refused> {
        let topic = |key: &str| self.text(&format!("topics.{key}")).unwrap_or_default().to_owned();
        let own = |name: String| if shadow { format!("{name}.shadow") } else { name };
        Ok(kafka::Settings {
            properties: self.kafka_properties()?,
            topics: kafka::Topics {
                prices: topic("updates"),
                notifications: topic("notifications"),
                dead_updates: topic("update_dead_letters"),
                state: own(topic("state")),
                removals: topic("removals"),
                retries: topic("retries"),
                dead_deliveries: topic("notification_dead_letters"),
            },
            group: own(self.text("stream.group").unwrap_or_default().to_owned()),
            transaction_timeout_ms: self.number("stream.transaction_timeout"),
        })
    }

    /// How topics that are missing are made.
    pub fn new_topics(&self) -> kafka::topics::NewTopics {
        kafka::topics::NewTopics {
            partitions: self.number("topics.partitions") as i32,
            replication: self.number("topics.replication") as i32,
        }
    }

    /// Where a group begins that never read.
    pub fn start(&self) -> Option<kafka::Start> {
        match self.text("stream.start")? {
            "earliest" => Some(kafka::Start::Earliest),
            _ => Some(kafka::Start::Latest),
        }
    }

    /// What a crash may do to a fan-out.
    pub fn delivery(&self) -> kafka::Delivery {
        match self.text("stream.delivery") {
            Some("at-least-once") => kafka::Delivery::AtLeastOnce,
            _ => kafka::Delivery::ExactlyOnce,
        }
    }

    /// Which fields a notification has.
    pub fn format(&self) -> Format {
        match self.text("stream.format") {
            Some("lean") => Format::Lean,
            _ => Format::Full,
        }
    }

    /// How Cassandra is reached and used.
    ///
    /// # Errors
    /// The password cannot be had.
    pub fn cassandra(&self) -> Result<cassandra::Options, Refused> {
        let text = |key: &str| self.text(&format!("cassandra.{key}")).map(str::to_owned);
        let mut tables = cassandra::Tables::default();
        for (table, key) in TABLES {
            tables.set(table, text(key).unwrap_or_default());
        }
        let tls = self.flag("cassandra.tls");
        Ok(cassandra::Options {
            local_dc: text("datacenter"),
            tables,
            consistency: self.consistency(),
            user: text("user"),
            password: self.secret("cassandra", "password")?,
            tls: tls.then(|| cassandra::Tls {
                ca_file: self.path("cassandra.ca_file"),
                identity: self.identity("cassandra"),
            }),
            replication: self
                .get("cassandra.replication")
                .map(|_| self.number("cassandra.replication") as u32),
            in_flight: self.number("cassandra.in_flight") as usize,
            request_ms: self.number("cassandra.timeout"),
            connect_ms: self.number("cassandra.connect_timeout"),
            watchers_above: self.number("bucketing.watchers_above"),
            shards: self.number("bucketing.shards") as u32,
            external_writers: self.flag("cassandra.external_writers"),
            ..cassandra::Options::new(
                self.texts("cassandra.contact_points").to_vec(),
                text("keyspace").unwrap_or_default(),
            )
        })
    }

    fn consistency(&self) -> cassandra::Consistency {
        let named = self.text("cassandra.consistency").and_then(cassandra::Consistency::from_name);
        named.unwrap_or_default()
    }

    /// How Redis is reached.
    ///
    /// # Errors
    /// An address is none, or the password cannot be had.
    pub fn redis(&self) -> Result<redis::Options, Refused> {
        let addresses = self.texts("redis.addresses").iter().map(|text| {
            let wrong = |error: redis::NoAddress| {
                let remedy = "write it as \"redis.example.com:6379\" or \"unix:/run/redis.sock\"";
                secret::refused(format!("redis.addresses: {error}"), remedy)
            };
            text.parse().map_err(wrong)
        });
        let tls = self.flag("redis.tls");
        Ok(redis::Options {
            addresses: addresses.collect::<Result<_, Refused>>()?,
            user: self.text("redis.user").map(str::to_owned),
            password: self.secret("redis", "password")?,
            database: self.number("redis.database") as i64,
            tls: tls
                .then(|| redis::Tls { ca_file: self.path("redis.ca_file"), client: self.identity("redis") }),
            prefix: self.text("redis.prefix").unwrap_or_default().to_owned(),
            cache_timeout_ms: self.number("redis.cache_timeout"),
            timeout_ms: self.number("redis.timeout"),
            connect_timeout_ms: self.number("redis.connect_timeout"),
            breaker_failures: self.number("redis.breaker_failures") as u32,
            breaker_open_ms: self.number("redis.breaker_open"),
        })
    }

    /// The cache of watches in Redis.
    pub fn shelves(&self, redis: &redis::Redis) -> redis::RedisShelves {
        redis::RedisShelves::with_ttl(redis, self.number("redis.ttl"), redis::limits::MARK_TTL_MS)
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.text(name).map(Into::into)
    }

    /// Our certificate and its key.
    fn identity(&self, table: &str) -> Option<(PathBuf, PathBuf)> {
        let path = |key: &str| self.path(&format!("{table}.{key}"));
        path("cert_file").zip(path("key_file"))
    }
}

/// The tables of Cassandra and the fields that name them.
const TABLES: [(cassandra::Table, &str); 6] = [
    (cassandra::Table::Alerts, "alerts"),
    (cassandra::Table::Buckets, "buckets"),
    (cassandra::Table::Live, "live"),
    (cassandra::Table::Policies, "policies"),
    (cassandra::Table::Channels, "channels"),
    (cassandra::Table::Prices, "prices"),
];
