//! Kills of the engine while webhooks are sent.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use pricedrop_harness::peers::Peer;
use pricedrop_harness::{Engine, wait_for};
use serde_json::{Value, json};

use crate::support::{arrived, dead_letters, home_with, metric, post, watch};

const CHANNEL: &str = "channel-webhook";
const USERS: usize = 600;
/// The user who is notified after all others.
const LAST: &str = "last";
const CONCURRENCY: usize = 16;
const BATCH: usize = 16;
/// The engine is killed as soon as this many requests have arrived.
const KILLS: [usize; 5] = [20, 120, 250, 380, 500];

/// Returns the keys sent to each user, with how often each arrived.
fn by_user(records: &[Value]) -> BTreeMap<String, BTreeMap<String, usize>> {
    let mut users: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for record in records {
        let body: Value = serde_json::from_str(record["body"].as_str().unwrap()).unwrap();
        let key = record["headers"]["idempotency-key"].as_str().unwrap().to_owned();
        *users.entry(body["userId"].as_str().unwrap().to_owned()).or_default().entry(key).or_default() += 1;
    }
    users
}

/// Returns the deliveries that are in flight or waiting for a retry.
fn open_deliveries(engine: &Engine) -> u64 {
    metric(engine, "pricedrop_deliveries_in_flight{") + metric(engine, "pricedrop_retries_waiting{")
}

#[test]
fn an_engine_killed_while_delivering_reaches_every_recipient_and_repeats_only_under_the_same_key() {
    let peer = Peer::http().unwrap();
    let sidecar = format!("hosts = [\"{}\"]\nconcurrency = {CONCURRENCY}\n", peer.host());
    let (folder, home) =
        home_with(CHANNEL, &sidecar, &format!("timeout = \"1s\"\n[limits]\ndispatch_batch = {BATCH}\n"));
    let mut engine = home.start().unwrap();
    let users: Vec<String> = (0..USERS).map(|number| format!("u{number}")).collect();
    let mut csv = String::from("user_id,channel,address\n");
    for user in &users {
        writeln!(csv, "{user},{CHANNEL},http://{}/ok?{user}", peer.host()).unwrap();
    }
    std::fs::write(folder.path().join("recipients.csv"), csv).unwrap();
    home.run(&["recipient", "import", "recipients.csv"]).unwrap();
    watch(&engine, "P7", &users);
    assert_eq!(post(&engine, &json!({"productId": "P7", "newPrice": 79})), USERS as u64);

    let mut cut = Vec::new();
    for arrivals in KILLS {
        arrived(&peer, arrivals);
        engine.kill().unwrap();
        cut.push(peer.records().len());
        engine = home.start().unwrap();
    }
    let everybody = || Some(by_user(&peer.records())).filter(|told| told.len() == USERS);
    wait_for("everybody to be reached", everybody).unwrap();
    // Deliveries in flight at a kill may come again when their lease ends. The last notification is
    // deferred by the peer for longer than the metrics may be stale, so its arrival shows that the
    // metrics cover everything.
    home.run(&["recipient", "add", LAST, CHANNEL, &format!("http://{}/wait/6/{LAST}", peer.host())]).unwrap();
    watch(&engine, "P8", &[LAST]);
    assert_eq!(post(&engine, &json!({"productId": "P8", "newPrice": 79})), 1);
    let last = || {
        by_user(&peer.records()).get(LAST).and_then(|sent| sent.values().find(|times| **times == 2).copied())
    };
    wait_for("the last one", last).unwrap();
    wait_for("nothing to be in flight or waiting", || (open_deliveries(&engine) == 0).then_some(())).unwrap();

    let mut told = by_user(&peer.records());
    told.remove(LAST);
    assert_eq!(told.keys().collect::<BTreeSet<_>>(), users.iter().collect::<BTreeSet<_>>());
    let mut keys = BTreeSet::new();
    let mut repeats = 0;
    for (user, sent) in &told {
        assert_eq!(sent.len(), 1, "{user} was sent one notification under several keys: {sent:?}");
        repeats += sent.values().sum::<usize>() - 1;
        keys.extend(sent.keys());
    }
    assert_eq!(keys.len(), USERS, "no key serves two users");
    assert_eq!(dead_letters(&home, 0), [] as [Value; 0]);
    println!(
        "{} kills after {cut:?} of {USERS}: all reached, {repeats} repeated under their key",
        KILLS.len()
    );
    // A kill repeats at most what was claimed and not yet durably confirmed: the requests in flight,
    // and a batch before and after them.
    assert!(repeats <= KILLS.len() * (CONCURRENCY + 2 * BATCH), "{repeats} repeats");
}
