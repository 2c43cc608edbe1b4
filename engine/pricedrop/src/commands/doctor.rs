//! `pricedrop doctor`: checks servers, topics, tables, rights and clocks, and prints each
//! problem with its remedy. It changes no data.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use pricedrop_archive::Bucket;
use pricedrop_cassandra as cassandra;
use pricedrop_cassandra::probe::NodeClock;
use pricedrop_cassandra::schema::FindingKind;
use pricedrop_cassandra::{Table, limits::CLOCKS_MS};
use pricedrop_kafka as kafka;
use pricedrop_kafka::rights::Roles;
use pricedrop_kafka::{Difference, Sample, Settings};
use pricedrop_model::Position;
use pricedrop_redis::Redis;

use super::findings::{self, Finding};
use crate::cli;
use crate::config::Config;
use crate::report::CliError;

/// Checks everything that is configured.
///
/// # Errors
/// A problem prevents the engine from working; it was printed.
pub fn execute(config: &Config, role: Option<cli::Role>) -> Result<(), CliError> {
    let stores = &config.stores;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    if !stores.kafka() {
        writeln!(
            anstream::stdout(),
            "there are no servers to check; the engine reports the state of its embedded store in /readyz"
        )?;
        if config.archive_is_on() {
            findings::print("doctor", runtime.block_on(check_archive(config, None))?)?;
        }
        return Ok(());
    }
    let only = |one| role.is_none_or(|named| named == one);
    let roles = Roles {
        notifier: only(cli::Role::Notifier),
        dispatcher: only(cli::Role::Dispatcher),
        archiver: only(cli::Role::Archiver) && config.archive_is_on(),
    };
    let mut found = check_kafka(&runtime, &config.kafka_settings(false)?, roles, config.rules.round_decimals);
    if stores.cassandra() {
        found.extend(runtime.block_on(check_cassandra(&config.cassandra_options()?, roles)));
    }
    if stores.needs_redis(roles.dispatcher) {
        found.extend(runtime.block_on(check_redis(config, roles))?);
    }
    if roles.archiver {
        found.extend(runtime.block_on(check_archive(config, Some(&config.kafka_settings(false)?.group)))?);
    }
    findings::print("doctor", found)
}

/// Checks the bucket: whether it responds, and whether a conditional write keeps the first object.
///
/// `owner` is the expected owner of the archive. For an embedded store it is `None`, because only
/// the process that has the store open knows it.
async fn check_archive(config: &Config, owner: Option<&str>) -> Result<Vec<Finding>, CliError> {
    let archive = config.archive_options()?;
    let bucket = Bucket::open(&archive.options, archive.client)
        .map_err(|error| CliError::usage(error, "correct archive.url"))?;
    let tried = match owner {
        Some(owner) => bucket.claim(owner).await,
        None => bucket.probe().await,
    };
    Ok(match tried {
        Ok(()) => Vec::new(),
        Err(error) => {
            let remedy = crate::remedies::archive_remedy(&error);
            unreachable("archive", error, remedy)
        }
    })
}

/// Reports a server that is unavailable or refuses the connection.
fn unreachable(place: &str, error: impl ToString, remedy: &str) -> Vec<Finding> {
    vec![Finding::wrong(place, error, remedy)]
}

const REACH_KAFKA: &str = "start Kafka, or correct \"bootstrap.servers\", TLS and SASL under [kafka]";

fn check_kafka(
    runtime: &tokio::runtime::Runtime,
    settings: &Settings,
    roles: Roles,
    round_decimals: Option<u8>,
) -> Vec<Finding> {
    let topics = match runtime.block_on(kafka::topics::check(settings)) {
        Ok(topics) => topics,
        Err(error) => return unreachable("kafka", error, REACH_KAFKA),
    };
    let concern = topics.into_iter().filter(|finding| roles.concern(&settings.topics, &finding.topic));
    let mut found: Vec<Finding> = concern.map(Finding::from).collect();
    match kafka::rights::missing(settings, roles) {
        Ok(missing) => found.extend(missing.into_iter().map(right_finding)),
        Err(error) => found.extend(unreachable("kafka", error, REACH_KAFKA)),
    }
    // A failed read usually has the same cause as a problem that is reported already.
    let has_problem = found.iter().any(|finding| !finding.works);
    let unless_reported = |place: &str, error| match has_problem {
        true => Vec::new(),
        false => unreachable(
            &format!("topic {place}"),
            error,
            "correct that, or try again when Kafka is available",
        ),
    };
    let (prices, states) = (&settings.topics.prices, &settings.topics.state);
    match kafka::sample(settings, round_decimals) {
        Ok(sample) => found.extend(sample_findings(prices, &sample)),
        Err(error) => found.extend(unless_reported(prices, error)),
    }
    if roles.notifier {
        match kafka::outgrown(settings) {
            Ok(outgrown) => found.extend(outgrown.map(|(what, remedy)| Finding::wrong(prices, what, remedy))),
            Err(error) => found.extend(unless_reported(states, error)),
        }
        match kafka::differences(settings) {
            Ok(all) => found.extend(all.iter().map(|difference| difference_finding(prices, difference))),
            Err(error) => found.extend(unless_reported(states, error)),
        }
    }
    found
}

fn difference_finding(topic: &str, difference: &Difference) -> Finding {
    let partition = difference.partition.0;
    Finding::wrong(
        format!("partition {partition} of {topic}"),
        format!("offset and states disagree: {difference}"),
        format!("find the cause, then run `pricedrop offsets set --partition {partition}`"),
    )
}

fn right_finding(missing: kafka::rights::Missing) -> Finding {
    let kafka::rights::Missing { on, right, needed_by, remedy, works } = missing;
    let what = format!("{right} is not allowed, and {needed_by} needs it");
    Finding { works, ..Finding::wrong(on, what, remedy) }
}

fn place_of(position: Position) -> String {
    format!("partition {}, offset {}", position.partition.0, position.offset)
}

fn sample_findings(topic: &str, sample: &Sample) -> Vec<Finding> {
    let mut found = Vec::new();
    let place = format!("topic {topic}");
    if let Some((product, one, other)) = &sample.spread {
        found.push(Finding::wrong(
            &place,
            format!(
                "product {product} is in partitions {} and {}: prices are compared within each partition alone, so wrong \
                 alerts are possible",
                one.0, other.0
            ),
            "make all its producers set productId as the record's key, with the same partitioner",
        ));
    } else if let Some((key, product)) = &sample.example {
        found.push(Finding::advice(
            &place,
            format!(
                "{} of the newest {} records are not keyed by productId, such as {product} with the key {key}",
                sample.key_mismatches, sample.records
            ),
            "make producers set productId as the record's key; otherwise a product may spread over partitions",
        ));
    }
    if sample.unreadable > 0 {
        let example = sample.unreadable_example.as_ref();
        let example =
            example.map_or(String::new(), |(at, reason)| format!(", such as {}: {reason}", place_of(*at)));
        let what = format!(
            "{} of the newest {} records are not valid updates{example}",
            sample.unreadable, sample.records
        );
        found.push(Finding::advice(
            &place,
            what,
            "`pricedrop dlq list` shows the reasons, once the engine has read them",
        ));
    }
    if let Some((product, position, at)) = &sample.future_example {
        let what = format!(
            "{} of the newest {} records have an occurredAt more than a day after their timestamp, such as {at} of \
             product {product} at {}",
            sample.future,
            sample.records,
            place_of(*position)
        );
        let remedy = "check the clock and the time unit of the producer: until that time, other updates of the product \
                      are stale";
        found.push(Finding::wrong(&place, what, remedy));
    }
    let ahead = sample.newest_ms.map_or(0, |newest| newest - now_ms());
    if ahead > CLOCKS_MS {
        let what = format!("its newest record is {ahead} ms ahead of the clock of this machine");
        found.push(Finding::advice(
            &place,
            what,
            "synchronise the clocks of the producers and of this machine with NTP",
        ));
    }
    found
}

async fn check_cassandra(options: &cassandra::Options, roles: Roles) -> Vec<Finding> {
    let tables = match cassandra::schema::check(options).await {
        Ok(tables) => tables,
        Err(error) => {
            return unreachable(
                "cassandra",
                error,
                "start Cassandra, or correct [cassandra]: contact points, user, TLS",
            );
        }
    };
    let mut found: Vec<Finding> = tables.into_iter().map(|table| table_finding(table, roles)).collect();
    match cassandra::probe::rights(options).await {
        Ok(missing) => found.extend(missing.into_iter().map(|right| table_finding(right, roles))),
        Err(error) => found.extend(unreachable("cassandra", error, "try again when Cassandra is available")),
    }
    match cassandra::probe::clocks(options).await {
        Ok(nodes) => found.extend(nodes.into_iter().filter_map(node_finding)),
        Err(error) => found.extend(unreachable("cassandra", error, "try again when Cassandra is available")),
    }
    found
}

/// Reports a problem of a table. If one role is checked, a table that it can work without is advice.
fn table_finding(finding: cassandra::Finding, roles: Roles) -> Finding {
    let both = roles.notifier && roles.dispatcher;
    let needed = match (finding.of, finding.weight) {
        (Some(Table::Alerts), _) => true,
        (Some(Table::Channels), FindingKind::Missing) => roles.dispatcher,
        (Some(_), FindingKind::Missing) => both,
        (Some(table), FindingKind::Unreadable) => both || table.is_read_from_the_start(roles.dispatcher),
        _ => true,
    };
    let found = Finding::from(finding);
    Finding { works: found.works || !needed, ..found }
}

fn node_finding(node: NodeClock) -> Option<Finding> {
    let place = format!("cassandra {}", node.address);
    match node.ahead_ms {
        Ok(ahead_ms) => clock_finding(&place, ahead_ms),
        Err(error) => {
            let what = format!("its clock cannot be read: {error}");
            Some(Finding::advice(place, what, "check this node, then run `pricedrop doctor` again"))
        }
    }
}

/// Reports a clock that differs by more than the tolerance.
fn clock_finding(place: &str, ahead_ms: i64) -> Option<Finding> {
    let direction = if ahead_ms > 0 { "ahead of" } else { "behind" };
    (ahead_ms.abs() > CLOCKS_MS).then(|| {
        Finding::wrong(
            place,
            format!(
                "its clock is {} ms {direction} that of this machine, more than the tolerated {CLOCKS_MS} ms: an \
                 acknowledged watch might be missed",
                ahead_ms.abs()
            ),
            "synchronise both clocks with NTP",
        )
    })
}

async fn check_redis(config: &Config, roles: Roles) -> Result<Vec<Finding>, CliError> {
    let redis =
        Redis::new(config.redis_options()?).map_err(|error| CliError::usage(error, "correct [redis]"))?;
    let facts = match redis.facts().await {
        Ok(facts) => facts,
        Err(error) => {
            let remedy = "start Redis, or correct [redis]: addresses, user, TLS";
            return Ok(unreachable("redis", error, remedy));
        }
    };
    let mut found = Vec::new();
    if config.stores.redis_leases() && roles.dispatcher {
        found.extend(eviction_finding(&facts.eviction));
    }
    match redis.missing_rights().await {
        Ok(missing) if missing.is_empty() => {}
        Ok(missing) => {
            let user = config.redis.user.as_deref().unwrap_or("default");
            found.push(Finding::wrong(
                "redis",
                format!("the user lacks {}", missing.join(" ")),
                format!("ACL SETUSER {user} {}; schema/redis.md has the complete line", missing.join(" ")),
            ));
            return Ok(found);
        }
        Err(error) => found.push(Finding::wrong("redis", error, "try again when Redis is available")),
    }
    if let Err(error) = redis.check().await {
        let remedy = "free memory or raise maxmemory: without writes nothing is leased and delivered";
        found.push(Finding::wrong("redis", format!("it refuses writes: {error}"), remedy));
    }
    match redis.clock().await {
        Ok(clock) => {
            let ahead = clock.0 - now_ms();
            found.extend(clock_finding("redis", ahead).map(|finding| Finding { works: true, ..finding }));
        }
        Err(error) => found.push(Finding::wrong("redis", error, "try again when Redis is available")),
    }
    Ok(found)
}

/// Reports an eviction policy that may delete leases before they expire. A server that does
/// not reveal its policy is accepted.
fn eviction_finding(policy: &str) -> Option<Finding> {
    (!matches!(policy, "noeviction" | "")).then(|| {
        Finding::wrong(
            "redis",
            format!(
                "its maxmemory-policy is {policy}: leases and confirmations may be evicted, and deliveries repeated"
            ),
            "CONFIG SET maxmemory-policy noeviction; or give the cache a server of its own",
        )
    })
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: Roles = Roles { notifier: true, dispatcher: true, archiver: false };
    const NOTIFIER: Roles = Roles { dispatcher: false, ..BOTH };
    const DISPATCHER: Roles = Roles { notifier: false, ..BOTH };

    /// Returns the tables that an engine of these roles cannot work without.
    fn needed(roles: Roles, weight: FindingKind) -> Vec<Table> {
        let is_wrong = |table: &Table| {
            let (what, remedy) = (String::new(), String::new());
            let finding = cassandra::Finding {
                table: table.default_name().into(),
                of: Some(*table),
                what,
                remedy,
                weight,
            };
            !table_finding(finding, roles).works
        };
        Table::ALL.into_iter().filter(is_wrong).collect()
    }

    #[test]
    fn a_check_of_one_role_reports_only_what_that_role_requires() {
        assert_eq!(needed(BOTH, FindingKind::Missing), Table::ALL);
        assert_eq!(needed(NOTIFIER, FindingKind::Missing), [Table::Alerts]);
        assert_eq!(needed(DISPATCHER, FindingKind::Missing), [Table::Alerts, Table::Channels]);
        assert_eq!(needed(BOTH, FindingKind::Unreadable), Table::ALL);
        let read = [Table::Alerts, Table::Buckets, Table::Live, Table::Policies];
        assert_eq!(needed(NOTIFIER, FindingKind::Unreadable), read);
        assert_eq!(needed(DISPATCHER, FindingKind::Unreadable), [&read[..], &[Table::Channels]].concat());
        assert_eq!(needed(NOTIFIER, FindingKind::Advice), []);
        assert_eq!(needed(NOTIFIER, FindingKind::OtherShape), Table::ALL, "no engine starts over these");
    }

    #[test]
    fn a_redis_that_may_evict_leases_is_reported() {
        for policy in ["allkeys-lru", "volatile-ttl"] {
            let found = eviction_finding(policy).expect("it evicts");
            assert!(!found.works && found.what.contains(policy), "{found:?}");
            assert!(found.remedy.contains("CONFIG SET maxmemory-policy noeviction"), "{found:?}");
        }
        assert_eq!(eviction_finding("noeviction"), None);
        assert_eq!(eviction_finding(""), None);
    }

    #[test]
    fn the_node_with_a_wrong_clock_is_named() {
        let node = |ahead_ms| node_finding(NodeClock { address: "10.0.0.2:9042".into(), ahead_ms });
        assert_eq!(node(Ok(CLOCKS_MS)), None);
        assert_eq!(node(Ok(-CLOCKS_MS)), None);
        let ahead = node(Ok(CLOCKS_MS + 1)).expect("it is off");
        assert!(!ahead.works && ahead.place == "cassandra 10.0.0.2:9042", "{ahead:?}");
        assert!(ahead.what.contains("101 ms ahead of that of this machine"), "{ahead:?}");
        let behind = node(Ok(-5_000)).expect("it is off");
        assert!(behind.what.contains("5000 ms behind that of this machine"), "{behind:?}");
        let silent = node(Err("no connection".into())).expect("it is said");
        assert!(silent.works && silent.what.contains("no connection"), "{silent:?}");
    }

    #[test]
    fn records_from_the_future_are_noted() {
        let sample = Sample { newest_ms: Some(now_ms() + 60_000), ..Sample::default() };
        let found = sample_findings("prices", &sample);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].works && found[0].what.contains("ahead of the clock of this machine"), "{found:?}");
        assert_eq!(sample_findings("prices", &Sample { newest_ms: Some(now_ms()), ..Sample::default() }), []);
    }
}
