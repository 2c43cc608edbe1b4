//! `[stores]`, `[stream]`, `[topics]`, `[cassandra]` and `[redis]`: which servers the
//! engine uses, and how.

use std::path::PathBuf;
use std::time::Duration;

use pricedrop_cassandra::Consistency;
use pricedrop_kafka::{Delivery, Start};
use pricedrop_model::notification::Format;

use crate::config::choice::{LeaseStore, LogStore, WatchCache, WatchStore};
use crate::config::table::table;
use crate::config::units::{days, hours, millis, minutes, seconds, texts};

table! {
    /// Which stores the engine uses: the embedded store alone, or Kafka, Cassandra and Redis.
    stores: Stores {
        /// Where prices come from and notifications go. embedded: everything is on the local disk, the
        /// other stores too.
        log: LogStore = LogStore::Embedded;

        /// Where watches, addresses and current prices are stored. Not set: cassandra if the log is
        /// Kafka. embedded together with Kafka serves a single instance.
        watches: Option<WatchStore>;

        /// Where the dispatcher stores its leases and retries. Not set: redis if the log is Kafka.
        /// embedded together with Kafka serves a single dispatcher.
        leases: Option<LeaseStore>;

        /// Whether the watches of Cassandra are cached in Redis. It pays if few products cause most of
        /// the reads.
        cache: WatchCache = WatchCache::None;
    }
}

table! {
    /// How the engine takes part in Kafka; how it connects is in `[kafka]`.
    stream: Stream {
        /// The consumer group of the notifier, and the prefix of every other name in Kafka: of the
        /// groups of the dispatcher and the remover, and of transactional ids. Instances of one group
        /// share the work.
        group: String = "pricedrop".into();

        /// The number of notifiers in this process, each with its own partitions, consumer and
        /// producer.
        workers: usize = 1, in 1..=64;

        /// Where a group without offsets begins on a topic that has records. Such a start also requires
        /// rules.first_price, so that not every user is notified at once.
        start: Option<Start>;

        /// What a crash may do to a fan-out. exactly-once: each appears once to readers of committed
        /// records; at-least-once: the notifier uses no transactions, and after a crash some appear
        /// again, with the same id.
        delivery: Delivery = Delivery::ExactlyOnce;

        /// Which fields a notification has. full: all that are known, see
        /// schema/user-notification.schema.json; lean: userId, productId and newPrice alone, for a
        /// mailer of your own. The dispatcher takes a second lean notification of the same price within
        /// data.confirmation_retention as delivered, and cannot re-check its price.
        format: Format = Format::Full;

        /// How long the broker waits for the end of a transaction whose engine is gone. Until then
        /// readers of committed records wait too.
        transaction_timeout: Duration = seconds(10), in seconds(1)..=minutes(15);
    }
}

table! {
    /// The names of the topics, and how `pricedrop topics apply` creates those that are missing.
    topics: Topics {
        /// Prices, keyed by productId. Read by the notifier, written by your producers and by POST
        /// /v1/prices.
        updates: String = "price_updates".into();

        /// Notifications, keyed by userId. Read by the dispatcher, or by a mailer of your own.
        notifications: String = "user_notifications".into();

        /// Records that are not valid updates, with the reason in their headers.
        update_dlq: String = "price_updates.dlq".into(), was "update_dead_letters";

        /// Deliveries that failed for good, with the reason in their headers.
        notification_dlq: String = "user_notifications.dlq".into(), was "notification_dead_letters";

        /// The state of each product. Compacted, with as many partitions as the updates.
        state: String = "pricedrop.state".into();

        /// Once-watches that fired and are to be deleted. With as many partitions as the updates.
        removals: String = "pricedrop.removals".into();

        /// Deliveries to be tried again. Compacted, with as many partitions as the notifications.
        retries: String = "user_notifications.retry".into();

        /// Partitions of topics that `pricedrop topics apply` creates. If one of two topics that must
        /// match exists, the other gets the same number.
        partitions: u16 = 12, in 1..=10_000;

        /// Copies of each partition of topics that are created. With three or more, two must have a
        /// record before it counts as written.
        replication: u16 = 3, in 1..=100;
    }
}

table! {
    /// The store of watches, addresses and current prices.
    cassandra: Cassandra {
        /// Some nodes, each with its port; the others are found through them.
        contact_points: Vec<String> = texts(&["127.0.0.1:9042"]);

        /// The keyspace of the tables.
        keyspace: String = "pricedrop".into();

        /// The table of watches. The index by bucket is rebuilt from it.
        alerts: String = "price_watch_alerts".into();

        /// The table of watches by bucket: an index.
        buckets: String = "price_watch_buckets".into();

        /// The table that lists the buckets of each product.
        live: String = "price_watch_live".into();

        /// The table of bucketing policies.
        policies: String = "bucketing_policies".into();

        /// The table of addresses.
        channels: String = "user_channels".into();

        /// The table of current prices.
        prices: String = "product_prices".into();

        /// Copies of each row in a keyspace that `pricedrop schema apply` creates. Not set: three, or
        /// as many as there are nodes.
        replication: Option<u32>, in 1..=100;

        /// The data centre that requests go to, and that a created keyspace is replicated in. Not set:
        /// any.
        datacenter: Option<String>;

        /// How many replicas must answer a read or a write. Fewer would miss watches that were
        /// acknowledged, so there is no weaker level.
        consistency: Consistency = Consistency::LocalQuorum;

        /// The user, if the cluster requires one.
        user: Option<String>;

        /// A file that holds the password. A line end at its end is ignored.
        password_file: Option<PathBuf>;

        /// The environment variable that holds the password.
        password_env: Option<String>;

        /// Whether connections are encrypted and the certificate of each node is checked: its
        /// authority, and that it names the node's IP address. A name alone is not enough.
        tls: bool = false;

        /// A PEM file of certificate authorities; only these are trusted. Not set: those of the system.
        ca_file: Option<PathBuf>;

        /// A PEM file with the engine's certificate, if the cluster requires one.
        cert_file: Option<PathBuf>;

        /// A PEM file of that certificate's key.
        key_file: Option<PathBuf>;

        /// How long one request may take before it is tried again.
        timeout: Duration = seconds(2), in millis(1)..=minutes(10);

        /// How long connecting may take.
        connect_timeout: Duration = seconds(5), in millis(1)..=minutes(10);

        /// The most requests in flight at a time.
        in_flight: usize = 128, in 1..=10_000;

        /// Whether other programs write watches straight into the table. Then every product is read by
        /// the plain scan, which finds them at once.
        external_writers: bool = false;
    }
}

table! {
    /// The cache, and the dispatcher's leases and retry queues. Valkey works as well.
    redis: Redis {
        /// Where it listens, host:port or unix:/path. Of several, the first that is a primary is used.
        addresses: Vec<String> = texts(&["127.0.0.1:6379"]);

        /// The number of the database.
        database: u32 = 0, in 0..=1_000;

        /// The user, if the server requires one. Not set: the default user.
        user: Option<String>;

        /// A file that holds the password. A line end at its end is ignored.
        password_file: Option<PathBuf>;

        /// The environment variable that holds the password.
        password_env: Option<String>;

        /// Whether connections are encrypted and the server's name is checked.
        tls: bool = false;

        /// A PEM file of certificate authorities to trust. Not set: the public ones.
        ca_file: Option<PathBuf>;

        /// A PEM file with the engine's certificate, if the server requires one.
        cert_file: Option<PathBuf>;

        /// A PEM file of that certificate's key.
        key_file: Option<PathBuf>;

        /// The prefix of every key. A colon follows it.
        prefix: String = "pricedrop".into();

        /// How long a reader of watches waits for the cache before it reads from Cassandra. Large
        /// products may take longer.
        cache_timeout: Duration = millis(50), in millis(1)..=minutes(1);

        /// How long leases and retries wait for a response.
        timeout: Duration = millis(500), in millis(1)..=minutes(1);

        /// How long connecting may take.
        connect_timeout: Duration = seconds(2), in millis(1)..=minutes(1);

        /// How long cached watches live. If Redis cannot be told of a changed watch, drops see the
        /// change after this time at the latest.
        cache_ttl: Duration = minutes(5), in seconds(1)..=days(1), was "ttl";

        /// After this many failures in a row, no caller waits for Redis any more.
        breaker_threshold: u32 = 5, in 1..=10_000, was "breaker_failures";

        /// How long that lasts before one call tries again.
        breaker_reset_timeout: Duration = seconds(1), in millis(1)..=hours(1), was "breaker_open";
    }
}
