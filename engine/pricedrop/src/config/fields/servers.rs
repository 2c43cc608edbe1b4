//! The fields of Kafka, Cassandra and Redis, and of who is chosen.

use super::{DAY, HOUR, MINUTE, SECOND, field, unset};
use crate::config::field::{Field, Kind};

/// In the order of the reference.
pub(super) static SERVERS: &[Field] = &[
    field(
        "stores.log",
        Kind::Choice(&["embedded", "kafka"]),
        "\"embedded\"",
        "Where prices come from and notifications go. embedded: all of the engine stands on the local disk, and \
         the other stores are embedded too.",
    ),
    unset(
        "stores.watches",
        Kind::Choice(&["embedded", "cassandra"]),
        "Where watches, addresses and current prices lie. Not set: cassandra when the log is Kafka. embedded \
         beside Kafka serves one instance alone.",
    ),
    unset(
        "stores.leases",
        Kind::Choice(&["embedded", "redis"]),
        "Where the dispatcher keeps whose delivery is whose, and what is tried again. Not set: redis when the log \
         is Kafka. embedded beside Kafka serves one dispatcher alone.",
    ),
    field(
        "stores.cache",
        Kind::Choice(&["none", "redis"]),
        "\"none\"",
        "Whether the watches of Cassandra are cached in Redis. Worth it where few products make most of the reads.",
    ),
    field(
        "stream.group",
        Kind::Text,
        "\"pricedrop\"",
        "The consumer group of the notifier, and the beginning of every other name in Kafka: of the dispatcher's \
         and the remover's group, and of transactional ids. Instances of one group share the work.",
    ),
    field(
        "stream.workers",
        Kind::Count(1, 64),
        "1",
        "Notifiers in this process, each with partitions, a consumer and a producer of its own.",
    ),
    unset(
        "stream.start",
        Kind::Choice(&["latest", "earliest"]),
        "Where a group begins that has no offsets yet, on a topic that has records. Such a start also asks for \
         rules.first_price, lest every user be told at once.",
    ),
    field(
        "stream.delivery",
        Kind::Choice(&["exactly-once", "at-least-once"]),
        "\"exactly-once\"",
        "What a crash may do to a fan-out. exactly-once: each appears once to readers of committed records; \
         at-least-once: the notifier takes no transactions, and after a crash some appear again, with the same id.",
    ),
    field(
        "stream.format",
        Kind::Choice(&["full", "lean"]),
        "\"full\"",
        "Which fields a notification has. full: all that are known, see schema/user-notification.schema.json; lean: \
         userId, productId and newPrice alone, for a mailer of your own. Our dispatcher takes a second lean one of \
         the same price within data.confirmation_retention for delivered before, and cannot re-check it.",
    ),
    field(
        "stream.transaction_timeout",
        Kind::Millis(SECOND, 15 * MINUTE),
        "\"10s\"",
        "How long the broker waits for the end of a transaction whose engine is gone. Until then readers of \
         committed records wait too.",
    ),
    field(
        "topics.updates",
        Kind::Text,
        "\"price_updates\"",
        "Prices, keyed by productId. Read by the notifier, written by your producers and by POST /v1/prices.",
    ),
    field(
        "topics.notifications",
        Kind::Text,
        "\"user_notifications\"",
        "Who is told, keyed by userId. Read by the dispatcher, or by a mailer of your own.",
    ),
    field(
        "topics.update_dead_letters",
        Kind::Text,
        "\"price_updates.dlq\"",
        "Records that were no updates, with the reason in their headers.",
    ),
    field(
        "topics.notification_dead_letters",
        Kind::Text,
        "\"user_notifications.dlq\"",
        "Deliveries that failed for good, with the reason in their headers.",
    ),
    field(
        "topics.state",
        Kind::Text,
        "\"pricedrop.state\"",
        "What is remembered per product. Compacted, with the partitions of the updates.",
    ),
    field(
        "topics.removals",
        Kind::Text,
        "\"pricedrop.removals\"",
        "Once-watches that were told and are to be deleted. With the partitions of the updates.",
    ),
    field(
        "topics.retries",
        Kind::Text,
        "\"user_notifications.retry\"",
        "Deliveries to be tried again. Compacted, with the partitions of the notifications.",
    ),
    field(
        "topics.partitions",
        Kind::Count(1, 10_000),
        "12",
        "Of topics that `pricedrop topics apply` creates. Where one of a pair exists, the other takes its number.",
    ),
    field(
        "topics.replication",
        Kind::Count(1, 100),
        "3",
        "Copies of each partition, of topics that are created. With three or more, two must have a record before it counts.",
    ),
    field(
        "cassandra.contact_points",
        Kind::Texts,
        "[\"127.0.0.1:9042\"]",
        "Some nodes, each with its port; the others are found through them.",
    ),
    field("cassandra.keyspace", Kind::Text, "\"pricedrop\"", "Where the tables lie."),
    field("cassandra.alerts", Kind::Text, "\"price_watch_alerts\"", "The table of watches: the truth."),
    field(
        "cassandra.buckets",
        Kind::Text,
        "\"price_watch_buckets\"",
        "The table of watches by bucket: an index.",
    ),
    field("cassandra.live", Kind::Text, "\"price_watch_live\"", "The table of buckets that exist."),
    field("cassandra.policies", Kind::Text, "\"bucketing_policies\"", "The table of bucketing policies."),
    field("cassandra.channels", Kind::Text, "\"user_channels\"", "The table of addresses."),
    field("cassandra.prices", Kind::Text, "\"product_prices\"", "The table of current prices."),
    unset(
        "cassandra.replication",
        Kind::Count(1, 100),
        "Copies of each row, of a keyspace that `pricedrop schema apply` creates. Not set: three, or as many as \
         there are nodes.",
    ),
    unset(
        "cassandra.datacenter",
        Kind::Text,
        "The data centre that is asked, and that a created keyspace is replicated in. Not set: any.",
    ),
    field(
        "cassandra.consistency",
        Kind::Choice(&["local-quorum", "quorum", "all"]),
        "\"local-quorum\"",
        "How many copies must answer a read or a write. Fewer would miss watches that were acknowledged, so there \
         is no weaker level.",
    ),
    unset("cassandra.user", Kind::Text, "Who connects, where the cluster asks."),
    unset("cassandra.password_file", Kind::Path, "A file that holds the password. Its last line end is cut."),
    unset("cassandra.password_env", Kind::Text, "The environment variable that holds the password."),
    field(
        "cassandra.tls",
        Kind::Flag,
        "false",
        "Whether connections are encrypted, and each node's certificate checked: its authority, and that it names \
         the node's IP address. A name alone is not enough.",
    ),
    unset(
        "cassandra.ca_file",
        Kind::Path,
        "A PEM file of certificate authorities: they alone are trusted. Not set: those of the system.",
    ),
    unset(
        "cassandra.cert_file",
        Kind::Path,
        "A PEM file of our own certificate, where the cluster asks for one.",
    ),
    unset("cassandra.key_file", Kind::Path, "A PEM file of that certificate's key."),
    field(
        "cassandra.timeout",
        Kind::Millis(1, 10 * MINUTE),
        "\"2s\"",
        "How long one request may take before it is tried again.",
    ),
    field(
        "cassandra.connect_timeout",
        Kind::Millis(1, 10 * MINUTE),
        "\"5s\"",
        "How long connecting may take.",
    ),
    field("cassandra.in_flight", Kind::Count(1, 10_000), "128", "Requests on their way at once."),
    field(
        "cassandra.external_writers",
        Kind::Flag,
        "false",
        "Whether others write watches straight into the table. Then every product is read by the plain scan, which \
         finds them at once.",
    ),
    field(
        "redis.addresses",
        Kind::Texts,
        "[\"127.0.0.1:6379\"]",
        "Where it listens, host:port or unix:/path. Of several, the first that is a primary serves.",
    ),
    field("redis.database", Kind::Count(0, 1_000), "0", "The number of the database."),
    unset("redis.user", Kind::Text, "Who connects, where the server asks. Not set: the default user."),
    unset("redis.password_file", Kind::Path, "A file that holds the password. Its last line end is cut."),
    unset("redis.password_env", Kind::Text, "The environment variable that holds the password."),
    field(
        "redis.tls",
        Kind::Flag,
        "false",
        "Whether connections are encrypted, and the server's name checked.",
    ),
    unset(
        "redis.ca_file",
        Kind::Path,
        "A PEM file of certificate authorities to trust. Not set: the public ones.",
    ),
    unset("redis.cert_file", Kind::Path, "A PEM file of our own certificate, where the server asks for one."),
    unset("redis.key_file", Kind::Path, "A PEM file of that certificate's key."),
    field("redis.prefix", Kind::Text, "\"pricedrop\"", "The beginning of every key. A colon follows it."),
    field(
        "redis.cache_timeout",
        Kind::Millis(1, MINUTE),
        "\"50ms\"",
        "How long a reader of watches waits for the cache before it asks Cassandra. Large products may take longer.",
    ),
    field(
        "redis.timeout",
        Kind::Millis(1, MINUTE),
        "\"500ms\"",
        "How long leases and retries wait for an answer.",
    ),
    field(
        "redis.connect_timeout",
        Kind::Millis(1, MINUTE),
        "\"2s\"",
        "How long making a connection may take.",
    ),
    field(
        "redis.ttl",
        Kind::Millis(SECOND, DAY),
        "\"5m\"",
        "How long cached watches live. When Redis cannot be told of a written watch, drops see it by then.",
    ),
    field(
        "redis.breaker_failures",
        Kind::Count(1, 10_000),
        "5",
        "This many failures in a row, and nobody waits for Redis any more.",
    ),
    field("redis.breaker_open", Kind::Millis(1, HOUR), "\"1s\"", "For so long. Then one call tries again."),
];
