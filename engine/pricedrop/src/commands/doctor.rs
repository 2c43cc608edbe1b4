//! `pricedrop doctor`: what is wrong with servers, topics, tables, rights and
//! clocks, each with its remedy. It changes nothing.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use pricedrop_adapters::cassandra::{self, limits::WRITE_MARGIN_MS};
use pricedrop_adapters::kafka::rights::Roles;
use pricedrop_adapters::kafka::{self, Sample, Settings};
use pricedrop_adapters::redis::Redis;

use super::findings::{self, Finding};
use crate::cli;
use crate::config::Config;
use crate::report::Stopped;

/// Looks at everything that is configured.
///
/// # Errors
/// Something keeps the engine from its work: the answer is no.
pub fn execute(config: &Config, role: Option<cli::Role>) -> Result<(), Stopped> {
    let stores = config.stores();
    if !stores.kafka {
        writeln!(anstream::stdout(), "no server is configured; the embedded store shows in /readyz")?;
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let only = |one| role.is_none_or(|asked| asked == one);
    let roles = Roles { notifier: only(cli::Role::Notifier), dispatcher: only(cli::Role::Dispatcher) };
    let mut found = of_kafka(&runtime, &config.kafka(false)?, roles);
    if stores.cassandra {
        found.extend(runtime.block_on(of_cassandra(&config.cassandra()?)));
    }
    if stores.redis() && (roles.dispatcher || stores.redis_cache) {
        found.extend(runtime.block_on(of_redis(config))?);
    }
    findings::print("doctor", found)
}

/// What a server says that is away, or lets nobody in.
fn away(place: &str, error: impl ToString, remedy: &str) -> Vec<Finding> {
    vec![Finding::wrong(place, error, remedy)]
}

const REACH_KAFKA: &str = "start Kafka, or mend \"bootstrap.servers\", TLS and SASL under [kafka]";

fn of_kafka(runtime: &tokio::runtime::Runtime, settings: &Settings, roles: Roles) -> Vec<Finding> {
    let topics = match runtime.block_on(kafka::topics::check(settings)) {
        Ok(topics) => topics,
        Err(error) => return away("kafka", error, REACH_KAFKA),
    };
    let concern = topics.into_iter().filter(|finding| roles.concern(&settings.topics, &finding.topic));
    let mut found: Vec<Finding> = concern.map(Finding::from).collect();
    match kafka::rights::missing(settings, roles) {
        Ok(missing) => found.extend(missing.into_iter().map(of_right)),
        Err(error) => found.extend(away("kafka", error, REACH_KAFKA)),
    }
    // What is missing was said above.
    if let Ok(sample) = kafka::sample(settings) {
        found.extend(of_sample(&settings.topics.prices, &sample));
    }
    if let Ok(differences) = kafka::differences(settings) {
        let place = |partition: i32| format!("partition {partition} of {}", settings.topics.prices);
        found.extend(differences.into_iter().map(|difference| {
            Finding::wrong(
                place(difference.partition.0),
                "the group's offset and the states do not belong together",
                format!(
                    "look what happened, then run `pricedrop offsets accept --partition {}`",
                    difference.partition.0
                ),
            )
        }));
    }
    found
}

fn of_right(missing: kafka::rights::Missing) -> Finding {
    let kafka::rights::Missing { on, right, needed_by, remedy, works } = missing;
    let what = format!("{right} is not allowed, and {needed_by} needs it");
    Finding { works, ..Finding::wrong(on, what, remedy) }
}

fn of_sample(topic: &str, sample: &Sample) -> Vec<Finding> {
    let mut found = Vec::new();
    let place = format!("topic {topic}");
    if let Some((product, one, other)) = &sample.spread {
        found.push(Finding::wrong(
            &place,
            format!(
                "product {product} is in partitions {} and {}: order and price hold per partition only, and wrong \
                 alerts are possible",
                one.0, other.0
            ),
            "let its producers set productId as the record's key, all with the same partitioner",
        ));
    } else if let Some((key, product)) = &sample.example {
        found.push(Finding::advice(
            &place,
            format!(
                "{} of the newest {} records are not keyed by productId, such as {product} with the key {key}",
                sample.keyed_otherwise, sample.records
            ),
            "let producers set productId as the record's key: else a product may spread over partitions",
        ));
    }
    if sample.unreadable > 0 {
        let what = format!("{} of the newest {} records are no updates", sample.unreadable, sample.records);
        found.push(Finding::advice(&place, what, "`pricedrop dlq list` says why, once they were read"));
    }
    let ahead = sample.newest_ms.map_or(0, |newest| newest - now_ms());
    if ahead > WRITE_MARGIN_MS {
        let what = format!("its newest record is {ahead} ms ahead of our clock");
        found.push(Finding::advice(&place, what, "set the producers' clocks, or ours, by NTP"));
    }
    found
}

async fn of_cassandra(options: &cassandra::Options) -> Vec<Finding> {
    let tables = match cassandra::schema::check(options).await {
        Ok(tables) => tables,
        Err(error) => {
            return away(
                "cassandra",
                error,
                "start Cassandra, or mend [cassandra]: contact points, user, TLS",
            );
        }
    };
    let mut found: Vec<Finding> = tables.into_iter().map(Finding::from).collect();
    match cassandra::probe::rights(options).await {
        Ok(missing) => found.extend(missing.into_iter().map(Finding::from)),
        Err(error) => found.extend(away("cassandra", error, "try again when Cassandra is well")),
    }
    match cassandra::probe::clocks(options).await {
        Ok(nodes) => {
            let skewed = nodes
                .into_iter()
                .filter_map(|node| of_clock(&format!("cassandra {}", node.address), node.ahead_ms));
            found.extend(skewed);
        }
        Err(error) => found.extend(away("cassandra", error, "try again when Cassandra is well")),
    }
    found
}

/// A clock that differs by more than a write's margin.
fn of_clock(place: &str, ahead_ms: i64) -> Option<Finding> {
    let direction = if ahead_ms > 0 { "ahead of" } else { "behind" };
    (ahead_ms.abs() > WRITE_MARGIN_MS).then(|| {
        Finding::wrong(
            place,
            format!(
                "its clock is {} ms {direction} ours, and {WRITE_MARGIN_MS} ms are borne: an acknowledged watch \
                 might be missed",
                ahead_ms.abs()
            ),
            "set both clocks by NTP",
        )
    })
}

async fn of_redis(config: &Config) -> Result<Vec<Finding>, Stopped> {
    let redis = Redis::new(config.redis()?).map_err(|error| Stopped::usage(error, "mend [redis]"))?;
    let facts = match redis.facts().await {
        Ok(facts) => facts,
        Err(error) => {
            let remedy = "start Redis, or mend [redis]: addresses, user, TLS";
            return Ok(away("redis", error, remedy));
        }
    };
    let mut found = Vec::new();
    if config.stores().redis_leases && !matches!(facts.eviction.as_str(), "noeviction" | "") {
        found.push(Finding::wrong(
            "redis",
            format!("its maxmemory-policy is {}: leases and confirmations may be evicted, and deliveries repeated", facts.eviction),
            "CONFIG SET maxmemory-policy noeviction; or give the cache a server of its own",
        ));
    }
    match redis.missing_rights().await {
        Ok(missing) if missing.is_empty() => {}
        Ok(missing) => {
            let user = config.text("redis.user").unwrap_or("default");
            found.push(Finding::wrong(
                "redis",
                format!("our user lacks {}", missing.join(" ")),
                format!("ACL SETUSER {user} {}; schema/redis.md has the whole line", missing.join(" ")),
            ));
            return Ok(found);
        }
        Err(error) => found.push(Finding::wrong("redis", error, "try again when Redis is well")),
    }
    match redis.clock().await {
        Ok(clock) => {
            let ahead = clock.0 - now_ms();
            found.extend(of_clock("redis", ahead).map(|finding| Finding { works: true, ..finding }));
        }
        Err(error) => found.push(Finding::wrong("redis", error, "grant the user TIME")),
    }
    Ok(found)
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
