//! What `/metrics` shows.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use pricedrop_http::{Measure, MeasureKind};
use pricedrop_pipeline::dispatcher::ChannelCounters;
use pricedrop_pipeline::{dispatcher, notifier};

use MeasureKind::{Counter, Gauge};

fn at(counter: &AtomicU64) -> u64 {
    counter.load(Relaxed)
}

fn named<const N: usize>(pairs: [(&str, &AtomicU64); N]) -> Vec<(String, u64)> {
    pairs.map(|(name, counter)| (name.to_owned(), at(counter))).into()
}

/// What the notifier counted.
pub fn of_notifier(counters: &notifier::Counters) -> Vec<Measure> {
    let outcomes = named([
        ("dead", &counters.dead),
        ("tombstone", &counters.tombstones),
        ("stale", &counters.stale),
        ("held", &counters.held),
        ("skipped", &counters.skipped),
        ("not-lower", &counters.not_lower),
        ("drop", &counters.drops),
    ]);
    let lookups = named([("plain", &counters.plain_reads), ("bucket", &counters.bucket_reads)]);
    let mut commit_seconds =
        Measure::counter("commit_seconds", "Time spent in commits", at(&counters.commit_micros));
    commit_seconds.samples.iter_mut().for_each(|(_, value)| *value /= 1e6);
    vec![
        Measure::counter("records", "Records read", at(&counters.records)),
        Measure::by("updates", "Records by what became of them", Counter, "outcome", outcomes),
        Measure::counter("notifications", "Notifications committed", at(&counters.notifications)),
        Measure::counter(
            "suppressed_drops",
            "Drops to a price told within the window",
            at(&counters.suppressed),
        ),
        Measure::counter(
            "ledger_overflows",
            "Told prices forgotten before their window ended",
            at(&counters.ledger_overflows),
        ),
        Measure::by("lookups", "Drops by how their watchers were read", Counter, "path", lookups),
        Measure::counter("rows_read", "Watches read to decide", at(&counters.rows_read)),
        Measure::counter(
            "other_currency_rows",
            "Watches read that wait for another currency",
            at(&counters.other_currency),
        ),
        Measure::counter("audits", "Bucketed drops compared with the plain range", at(&counters.audits)),
        Measure::counter("failed_open", "Updates a failing throttle let pass", at(&counters.failed_open)),
        Measure::counter("commits", "Commits", at(&counters.commits)),
        commit_seconds,
        Measure::counter(
            "restores",
            "Times the notifier went back to what is stored",
            at(&counters.restores),
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

fn deliveries(channels: &[(String, std::sync::Arc<ChannelCounters>)]) -> Measure {
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
            samples.push((labels, at(counter) as f64));
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
