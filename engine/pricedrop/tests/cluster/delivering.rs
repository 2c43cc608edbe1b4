//! Deliveries through the shipped webhook plugin, over Kafka and Redis. Some are deferred by the
//! provider, the engine is killed, and the retry queue in Redis is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use pricedrop_harness::peers::Peer;
use pricedrop_harness::redis::administer;
use pricedrop_harness::{Engine, Home, servers, wait_for};
use serde_json::Value;

use crate::running::{metric, notifications, post};
use crate::support::Setting;

const CHANNEL: &str = "channel-webhook";
const USERS: usize = 300;
const DISPATCH: &str = r#"
[dispatch]
backoff_initial = "20ms"
backoff_max = "100ms"
lease = "1s"
timeout = "1s"
breaker_threshold = 10000
"#;

/// Returns the path of a user's webhook. Every third is deferred once, for a second.
fn path(user: usize) -> String {
    match user % 3 {
        0 => format!("/wait/1/u{user}"),
        _ => format!("/ok?u{user}"),
    }
}

/// Returns, by user, how often each key arrived.
fn by_user(peer: &Peer) -> BTreeMap<String, BTreeMap<String, usize>> {
    let mut users: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for record in peer.records() {
        let body: Value = serde_json::from_str(record["body"].as_str().unwrap()).unwrap();
        let key = record["headers"]["idempotency-key"].as_str().unwrap().to_owned();
        *users.entry(body["userId"].as_str().unwrap().to_owned()).or_default().entry(key).or_default() += 1;
    }
    users
}

/// Returns a unique user id: all tests of the keyspace share its recipients.
fn user_id(setting: &Setting, user: usize) -> String {
    format!("{}-u{user}", setting.name)
}

/// Returns whether every user got a request that was accepted.
fn all_reached(peer: &Peer, setting: &Setting) -> Option<()> {
    let told = by_user(peer);
    let reached = |user: usize| {
        let requests: usize = told.get(&user_id(setting, user))?.values().sum();
        (requests >= if user.is_multiple_of(3) { 2 } else { 1 }).then_some(())
    };
    (0..USERS).try_for_each(reached)
}

fn start(home: &Home) -> Engine {
    let engine = home.start().unwrap();
    engine.wait_until_notifying().unwrap();
    engine.wait_until_dispatching().unwrap();
    engine
}

#[test]
fn deliveries_survive_a_kill_and_the_loss_of_their_queue() {
    let peer = Peer::http().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let redis = servers::Own::redis(folder.path()).unwrap();
    let setting = Setting { redis: redis.address().to_owned(), ..Setting::new() };
    let setting = setting.with(DISPATCH).prepared();
    let (_folder, home) = setting.home();
    let sidecar = format!("hosts = [\"{}\"]\nconcurrency = 16\n", peer.host());
    home.deploy(&format!("{CHANNEL}.toml"), sidecar.as_bytes()).unwrap();
    home.install(CHANNEL, CHANNEL).unwrap();
    let mut engine = start(&home);
    let product = format!("{}-P", setting.name);
    let (mut recipients, mut watches) = (String::from("user_id,channel,address\n"), String::new());
    for user in 0..USERS {
        let user_id = user_id(&setting, user);
        writeln!(recipients, "{user_id},{CHANNEL},http://{}{}", peer.host(), path(user)).unwrap();
        let watch = serde_json::json!({"productId": product, "userId": user_id, "priceWatchValue": 80});
        writeln!(watches, "{watch}").unwrap();
    }
    std::fs::write(home.folder.join("recipients.csv"), recipients).unwrap();
    home.run(&["recipient", "import", "recipients.csv"]).unwrap();
    engine.request("PUT", "/v1/watches", watches.as_bytes()).unwrap();
    post(&engine, &format!(r#"{{"productId":"{product}","newPrice":79}}"#));

    for arrivals in [USERS / 6, USERS / 2] {
        wait_for("arrivals", || (peer.records().len() >= arrivals).then_some(())).unwrap();
        engine.kill().unwrap();
        // The retry queue in Redis is lost too; the topic still has the retries.
        administer(redis.address(), &["FLUSHALL".into()]).unwrap();
        engine = start(&home);
    }
    wait_for("everybody to be reached", || all_reached(&peer, &setting)).unwrap();
    let open =
        || metric(&engine, "pricedrop_deliveries_in_flight{") + metric(&engine, "pricedrop_retries_waiting{");
    wait_for("nothing to be in flight or waiting", || (open() == 0.0).then_some(())).unwrap();

    assert_eq!(notifications(&home).len(), USERS);
    let told = by_user(&peer);
    assert_eq!(told.len(), USERS);
    assert!(told.values().all(|keys| keys.len() == 1), "one notification under several keys: {told:?}");
    let keys: BTreeSet<&String> = told.values().flat_map(BTreeMap::keys).collect();
    assert_eq!(keys.len(), USERS, "no key serves two users");
    let dead = String::from_utf8(home.run(&["dlq", "list", "--json"]).unwrap().stdout).unwrap();
    assert_eq!(dead, "");
}
