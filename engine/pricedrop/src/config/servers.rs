//! Converts the tables of Kafka, Cassandra and Redis into the options of their adapters.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pricedrop_cassandra as cassandra;
use pricedrop_kafka as kafka;
use pricedrop_redis as redis;

use super::choice::{LeaseStore, LogStore, WatchCache, WatchStore};
use super::kafka::Property;
use super::secret::{self, SecretKeys};
use super::tables::Stores;
use super::units::to_millis;
use super::{Config, Refused};

impl Stores {
    /// Returns whether the log is in Kafka.
    pub fn kafka(&self) -> bool {
        self.log == LogStore::Kafka
    }

    /// Returns whether watches, addresses and prices are in Cassandra.
    pub fn cassandra(&self) -> bool {
        self.watches.map_or(self.kafka(), |chosen| chosen == WatchStore::Cassandra)
    }

    /// Returns whether leases and retries are in Redis.
    pub fn redis_leases(&self) -> bool {
        self.leases.map_or(self.kafka(), |chosen| chosen == LeaseStore::Redis)
    }

    /// Returns whether watches are cached in Redis.
    pub fn redis_cache(&self) -> bool {
        self.cache == WatchCache::Redis
    }

    /// Returns whether Redis is configured.
    pub fn redis(&self) -> bool {
        self.redis_leases() || self.redis_cache()
    }

    /// Returns whether this process connects to Redis. Only a dispatcher uses leases.
    pub fn needs_redis(&self, dispatches: bool) -> bool {
        self.redis_cache() || (self.redis_leases() && dispatches)
    }

    /// Returns whether a part of the state is embedded, so that no other instance can share it.
    pub fn alone(&self) -> bool {
        !(self.kafka() && self.cassandra() && self.redis_leases())
    }
}

/// The keys that `[cassandra]` and `[redis]` have in common.
pub(super) struct Access<'a> {
    pub(super) table: &'static str,
    pub(super) user: Option<&'a str>,
    pub(super) password: SecretKeys<'a>,
    pub(super) tls: bool,
    pub(super) ca_file: Option<&'a Path>,
    pub(super) cert_file: Option<&'a Path>,
    pub(super) key_file: Option<&'a Path>,
}

impl Access<'_> {
    /// Returns the client certificate and its key, if both are set.
    fn identity(&self) -> Option<(PathBuf, PathBuf)> {
        self.cert_file.map(Into::into).zip(self.key_file.map(Into::into))
    }
}

macro_rules! access {
    ($config:ident.$table:ident, $password:expr) => {
        Access {
            table: stringify!($table),
            user: $config.$table.user.as_deref(),
            password: $password,
            tls: $config.$table.tls,
            ca_file: $config.$table.ca_file.as_deref(),
            cert_file: $config.$table.cert_file.as_deref(),
            key_file: $config.$table.key_file.as_deref(),
        }
    };
}

impl Config {
    pub(super) fn cassandra_access(&self) -> Access<'_> {
        access!(self.cassandra, self.cassandra_password())
    }

    pub(super) fn redis_access(&self) -> Access<'_> {
        access!(self.redis, self.redis_password())
    }

    /// Returns the properties for librdkafka, with the secrets read.
    ///
    /// # Errors
    /// A secret cannot be read.
    pub fn kafka_properties(&self) -> Result<BTreeMap<String, String>, Refused> {
        let resolved = self.kafka.iter().map(|(name, property)| {
            let value = match property {
                Property::Plain(text) | Property::Told(text) => text.clone(),
                Property::Secret(place) => secret::read(&format!("[kafka] \"{name}\""), place)?,
            };
            Ok((name.clone(), value))
        });
        resolved.collect()
    }

    /// Returns how Kafka is reached, and the names of the topics and of the group. A shadow has
    /// a group and a states topic of its own, so that it changes nothing of the live engine.
    ///
    /// # Errors
    /// A secret cannot be read.
    pub fn kafka_settings(&self, shadow: bool) -> Result<kafka::Settings, Refused> {
        let own = |name: &str| if shadow { format!("{name}.shadow") } else { name.to_owned() };
        let topics = &self.topics;
        Ok(kafka::Settings {
            properties: self.kafka_properties()?,
            topics: kafka::Topics {
                prices: topics.updates.clone(),
                notifications: topics.notifications.clone(),
                dead_updates: topics.update_dlq.clone(),
                state: own(&topics.state),
                removals: topics.removals.clone(),
                retries: topics.retries.clone(),
                dead_deliveries: topics.notification_dlq.clone(),
            },
            group: own(&self.stream.group),
            transaction_timeout_ms: to_millis(self.stream.transaction_timeout),
        })
    }

    /// Returns how missing topics are created.
    pub fn new_topics(&self) -> kafka::topics::NewTopics {
        kafka::topics::NewTopics {
            partitions: self.topics.partitions.into(),
            replication: self.topics.replication.into(),
        }
    }

    /// Returns how Cassandra is reached and used.
    ///
    /// # Errors
    /// The password cannot be read.
    pub fn cassandra_options(&self) -> Result<cassandra::Options, Refused> {
        let (table, access) = (&self.cassandra, self.cassandra_access());
        Ok(cassandra::Options {
            local_dc: table.datacenter.clone(),
            tables: self.cassandra_tables(),
            consistency: table.consistency,
            user: table.user.clone(),
            password: access.password.read()?,
            tls: table
                .tls
                .then(|| cassandra::Tls { ca_file: table.ca_file.clone(), identity: access.identity() }),
            replication: table.replication,
            in_flight: table.in_flight,
            request_ms: to_millis(table.timeout),
            connect_ms: to_millis(table.connect_timeout),
            bucket_threshold: self.bucketing.bucket_threshold,
            shards: self.bucketing.shards,
            external_writers: table.external_writers,
            ..cassandra::Options::new(table.contact_points.clone(), table.keyspace.clone())
        })
    }

    fn cassandra_tables(&self) -> cassandra::Tables {
        let mut tables = cassandra::Tables::default();
        for (table, name) in [
            (cassandra::Table::Alerts, &self.cassandra.alerts),
            (cassandra::Table::Buckets, &self.cassandra.buckets),
            (cassandra::Table::Live, &self.cassandra.live),
            (cassandra::Table::Policies, &self.cassandra.policies),
            (cassandra::Table::Channels, &self.cassandra.channels),
            (cassandra::Table::Prices, &self.cassandra.prices),
        ] {
            tables.set(table, name.clone());
        }
        tables
    }

    /// Returns how Redis is reached.
    ///
    /// # Errors
    /// An address is invalid, or the password cannot be read.
    pub fn redis_options(&self) -> Result<redis::Options, Refused> {
        let (table, access) = (&self.redis, self.redis_access());
        let addresses = table.addresses.iter().map(|text| {
            let wrong = |error: redis::NoAddress| {
                let remedy = "write it as \"redis.example.com:6379\" or \"unix:/run/redis.sock\"";
                secret::refused(format!("redis.addresses: {error}"), remedy)
            };
            text.parse().map_err(wrong)
        });
        Ok(redis::Options {
            addresses: addresses.collect::<Result<_, Refused>>()?,
            user: table.user.clone(),
            password: access.password.read()?,
            database: table.database.into(),
            tls: table.tls.then(|| redis::Tls { ca_file: table.ca_file.clone(), client: access.identity() }),
            prefix: table.prefix.clone(),
            cache_timeout_ms: to_millis(table.cache_timeout),
            timeout_ms: to_millis(table.timeout),
            connect_timeout_ms: to_millis(table.connect_timeout),
            breaker_threshold: table.breaker_threshold,
            breaker_reset_timeout_ms: to_millis(table.breaker_reset_timeout),
        })
    }

    /// Returns the cache of watches in Redis.
    pub fn watch_cache(&self, redis: &redis::Redis) -> redis::RedisWatchCache {
        let ttl_ms = to_millis(self.redis.cache_ttl);
        redis::RedisWatchCache::with_ttl(redis, ttl_ms, redis::limits::MARK_TTL_MS)
    }
}
