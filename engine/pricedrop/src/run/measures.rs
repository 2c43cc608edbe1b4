//! What `/metrics` shows.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use pricedrop_http::{Measure, MeasureKind};
use pricedrop_pipeline::dispatcher::ChannelCounters;
use pricedrop_pipeline::{dispatcher, notifier};

use MeasureKind::{Counter, Gauge};

fn at(counter: &AtomicU64) -> u64 {
    counter.load(Relaxed)
}

/// One of a notifier's counters.
type Picked = fn(&notifier::Counters) -> &AtomicU64;

/// What the notifiers of this process counted together.
pub fn of_notifiers(workers: &[Arc<notifier::Counters>]) -> Vec<Measure> {
    let sum =
        |pick: fn(&notifier::Counters) -> &AtomicU64| workers.iter().map(|it| at(pick(it))).sum::<u64>();
    let named = |pairs: &[(&str, Picked)]| -> Vec<(String, u64)> {
        pairs.iter().map(|(name, pick)| ((*name).to_owned(), sum(*pick))).collect()
    };
    let outcomes = named(&[
        ("dead", |it| &it.dead),
        ("tombstone", |it| &it.tombstones),
        ("stale", |it| &it.stale),
        ("held", |it| &it.held),
        ("skipped", |it| &it.skipped),
        ("not-lower", |it| &it.not_lower),
        ("drop", |it| &it.drops),
    ]);
    let lookups = named(&[("plain", |it| &it.plain_reads), ("bucket", |it| &it.bucket_reads)]);
    let commit_seconds = sum(|it| &it.commit_micros) as f64 / 1e6;
    vec![
        Measure::counter("records", "Records read", sum(|it| &it.records)),
        Measure::counter(
            "keyed_otherwise",
            "Updates whose key was not their productId",
            sum(|it| &it.keyed_otherwise),
        ),
        Measure::by("updates", "Records by what became of them", Counter, "outcome", outcomes),
        Measure::counter("notifications", "Notifications committed", sum(|it| &it.notifications)),
        Measure::counter(
            "suppressed_drops",
            "Drops to a price told within the window",
            sum(|it| &it.suppressed),
        ),
        Measure::counter(
            "ledger_overflows",
            "Told prices forgotten before their window ended",
            sum(|it| &it.ledger_overflows),
        ),
        Measure::by("lookups", "Drops by how their watchers were read", Counter, "path", lookups),
        Measure::counter("rows_read", "Watches read to decide", sum(|it| &it.rows_read)),
        Measure::counter(
            "other_currency_rows",
            "Watches read that wait for another currency",
            sum(|it| &it.other_currency),
        ),
        Measure::counter("audits", "Bucketed drops compared with the plain range", sum(|it| &it.audits)),
        Measure::counter("failed_open", "Updates a failing throttle let pass", sum(|it| &it.failed_open)),
        Measure::counter("commits", "Commits", sum(|it| &it.commits)),
        Measure::seconds("commit_seconds", "Time spent in commits", commit_seconds),
        Measure::counter(
            "restores",
            "Times the notifier went back to what is stored",
            sum(|it| &it.restores),
        ),
    ]
}

/// What the dispatcher counted.
pub fn of_dispatcher(counters: &dispatcher::Counters) -> Vec<Measure> {
    let channels = counters.channels();
    let by_channel = |name, help, pick: fn(&ChannelCounters) -> &AtomicU64| {
        let values = channels.iter().map(|(channel, counters)| (channel.clone(), at(pick(counters))));
        Measure::by(name, help, Gauge, "channel", values)
    };
    vec![
        Measure::counter("dispatched", "Notifications the dispatcher read", at(&counters.read)),
        Measure::counter(
            "unreachable",
            "Notifications of users without an address",
            at(&counters.unreachable),
        ),
        Measure::counter(
            "addresses_left_out",
            "Addresses left out because their user has too many",
            at(&counters.addresses_left_out),
        ),
        deliveries(&channels),
        by_channel("deliveries_in_flight", "Deliveries taken and not finished", |channel| &channel.in_flight),
        by_channel("retries_waiting", "Deliveries waiting for their next attempt", |channel| {
            &channel.waiting
        }),
    ]
}

fn deliveries(channels: &[(String, Arc<ChannelCounters>)]) -> Measure {
    let mut samples = Vec::new();
    for (channel, counters) in channels {
        for (outcome, counter) in [
            ("delivered", &counters.delivered),
            ("delivered-before", &counters.delivered_before),
            ("retried", &counters.retried),
            ("put-off", &counters.put_off),
            ("dead", &counters.dead),
            ("risen", &counters.risen),
            ("plugin-failure", &counters.plugin_failures),
        ] {
            let labels = vec![("channel", channel.clone()), ("outcome", outcome.to_owned())];
            samples.push((labels, (at(counter) as f64).into()));
        }
    }
    Measure { name: "deliveries", help: "Deliveries by channel and outcome", kind: Counter, samples }
}

/// Memory of this process, where the system says.
pub fn resident() -> Option<Measure> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(Measure::gauge("resident_bytes", "Memory of the process", (kibibytes << 10) as f64))
}
