//! The table of fields: every key, its type and range, its default, what it
//! does. The one place where configurable limits get their defaults; a test
//! holds them equal to those of the crates that use them.

mod engine;
mod servers;

use super::field::{Field, Kind};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const YEARS: u64 = 3650 * DAY;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// The table whose keys are librdkafka's, not ours: [`super::kafka`] reads it.
pub const PASSED_THROUGH: &str = "kafka";

/// The tables in the order of the reference.
pub static TABLES: &[(&str, &str)] = &[
    ("rules", "Who is told. A change applies from then on; stored floors are read with the new hysteresis."),
    ("plugins", "Which plugins are active, where they lie, and what they may use."),
    ("bucketing", "How the watches of large products are found."),
    ("http", "The API, health and metrics."),
    ("data", "The local disk: the embedded store, and what every instance keeps for itself."),
    ("dispatch", "How notifications reach people."),
    (
        "archive",
        "The archive: updates, notifications and dead letters in S3 or a folder. On when archive.url is set.",
    ),
    ("log", "What the engine says on standard error."),
    ("limits", "Every other bound of the engine."),
    ("stores", "What the engine stands on: the embedded store alone, or Kafka, Cassandra and Redis."),
    ("stream", "How the engine takes part in Kafka; how it connects stands under [kafka]."),
    ("topics", "The names of the topics, and what `pricedrop topics apply` makes of those that are missing."),
    ("cassandra", "The store of watches, addresses and current prices."),
    ("redis", "The cache, and the dispatcher's leases and retry queues. Valkey serves as well."),
    (
        PASSED_THROUGH,
        "How Kafka is reached: any property of librdkafka, in quotes or dotted, with the value as it writes it. \
         Refused are those that the commit depends on, each with the reason. A secret is never written here: \
         \"sasl.password_file\" or \"sasl.password_env\" names where it lies, and so for every property that \
         holds one. A variable spells a property with underscores: PRICEDROP_KAFKA__BOOTSTRAP_SERVERS.",
    ),
];

const fn field(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Field {
    Field { name, kind, default: Some(default), doc }
}

const fn unset(name: &'static str, kind: Kind, doc: &'static str) -> Field {
    Field { name, kind, default: None, doc }
}

/// Every field.
pub fn fields() -> impl Iterator<Item = &'static Field> + Clone {
    engine::ENGINE.iter().chain(servers::SERVERS)
}
