//! Two engines work while one of them migrates the buckets to another policy.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use pricedrop_harness::cassandra::Cassandra;
use pricedrop_harness::kafka::Kafka;
use pricedrop_harness::{Engine, Home, servers, shipped, wait_for};
use serde_json::Value;

use crate::support::Setting;

/// Prices start here and fall by one unit each, so that every update is a drop.
const HIGHEST: i64 = 100_000;
const CROWD: i64 = 120;
/// The pause between two prices, so that a fast machine does not send millions of notifications.
const PACE: Duration = Duration::from_millis(4);
const PATIENCE: Duration = Duration::from_secs(120);

fn buckets(engine: &Engine) -> Value {
    serde_json::from_str(&engine.request("GET", "/v1/buckets", b"").unwrap()).unwrap()
}

/// When each user's watch was acknowledged.
type Written = Mutex<BTreeMap<String, Instant>>;

/// Adds a watch above every price for each message in `turns`.
fn write(engine: &Engine, product: &str, name: &str, turns: Receiver<()>, written: &Written) {
    for (number, ()) in (0..).zip(turns) {
        let user = format!("{name}-{number}");
        let threshold = HIGHEST + 1 + number % 50;
        let body = format!(r#"{{"productId":"{product}","userId":"{user}","priceWatchValue":{threshold}}}"#);
        engine.request("PUT", "/v1/watches", body.as_bytes()).unwrap();
        written.lock().unwrap().insert(user, Instant::now());
    }
}

/// Creates a home with its own keyspace, because a policy applies to all watches of a keyspace.
fn home(setting: &Setting, keyspace: &str) -> (tempfile::TempDir, Home) {
    let (folder, mut home) = setting.home();
    home.environment.push(("PRICEDROP_CASSANDRA__KEYSPACE".into(), keyspace.into()));
    home.install("bucketing-floor", "policy").unwrap();
    home.run(&["schema", "apply"]).unwrap();
    (folder, home)
}

/// A keyspace that is dropped with this value.
struct Keyspace(String);

impl Drop for Keyspace {
    fn drop(&mut self) {
        let admin = Cassandra::connect(&servers::cassandra(), "nobody", "");
        let _ = admin.and_then(|admin| admin.run(&format!("DROP KEYSPACE IF EXISTS {}", self.0)));
    }
}

#[test]
fn a_migration_of_buckets_misses_and_adds_no_notification_on_either_of_two_engines() {
    let keyspace = Keyspace(format!("pricedrop_moving_{}", std::process::id()));
    let setting =
        Setting::new().with("[bucketing]\nbucket_threshold = 50\naudit_sample_rate = 3\n").prepared();
    let (_first_folder, first) = home(&setting, &keyspace.0);
    let (_second_folder, second) = home(&setting, &keyspace.0);
    let engines = [first.start().unwrap(), second.start().unwrap()];
    let product = format!("{}-P", setting.name);
    let crowd: String = (0..CROWD)
        .map(|user| {
            let price = HIGHEST + 10 + user;
            format!(
                "{{\"productId\":\"{product}\",\"userId\":\"crowd-{user}\",\"priceWatchValue\":{price}}}\n"
            )
        })
        .collect();
    engines[0].request("PUT", "/v1/watches", crowd.as_bytes()).unwrap();
    first.run(&["buckets", "repair", &product]).unwrap();
    let before = buckets(&engines[0])["active"].clone();
    for home in [&first, &second] {
        home.deploy("policy.wasm", &std::fs::read(shipped("bucketing-log")).unwrap()).unwrap();
    }
    let staged = wait_for("both engines to stage the new policy", || {
        let staged = [&engines[0], &engines[1]].map(|engine| buckets(engine)["staged"].clone());
        (staged[0].is_string() && staged[0] == staged[1]).then(|| staged[0].clone())
    })
    .unwrap();
    assert_ne!(before, staged);

    let written = Written::default();
    let mut posted: BTreeMap<i64, Instant> = BTreeMap::new();
    let mut moving = first.command(&["buckets", "migrate"]).spawn().unwrap();
    std::thread::scope(|threads| {
        // The writers end when their channels close, also on a panic.
        let writers = [(&engines[0], "one"), (&engines[1], "two")].map(|(engine, name)| {
            let (turn, turns) = sync_channel(1);
            let (written, product) = (&written, &product);
            threads.spawn(move || write(engine, product, name, turns, written));
            turn
        });
        let (start, mut price, mut moved) = (Instant::now(), HIGHEST, None::<Instant>);
        // Until some time after both engines serve the new policy.
        while moved.is_none_or(|moved| moved.elapsed() < Duration::from_secs(3)) {
            for turn in &writers {
                // A full channel means that the writer still has a turn to do.
                let _ = turn.try_send(());
            }
            let (engine, began) = (&engines[(price % 2) as usize], Instant::now());
            let body = format!(r#"{{"productId":"{product}","newPrice":{price}}}"#);
            engine.request("POST", "/v1/prices", body.as_bytes()).unwrap();
            posted.insert(price, began);
            price -= 1;
            let active = |engine| {
                let report = buckets(engine);
                report["active"] == staged && report["staged"].is_null()
            };
            if moved.is_none() && engines.iter().all(active) {
                moved = Some(Instant::now());
            }
            let late = moved.is_none() && start.elapsed() > PATIENCE;
            assert!(!late, "both engines serve the new policy: {}", buckets(&engines[1]));
            std::thread::sleep(PACE);
        }
    });
    moving.kill().unwrap();
    moving.wait().unwrap();

    let kafka = Kafka { bootstrap: setting.kafka.clone() };
    let prices = format!("{}.prices", setting.name);
    wait_for("all prices to be read", || (kafka.lag("pricedrop", &prices).ok()? == 0).then_some(())).unwrap();
    let mut told: BTreeMap<(String, i64), u32> = BTreeMap::new();
    let topic = format!("{}.told", setting.name);
    for record in kafka.follow(&topic).unwrap().read(Duration::from_secs(3)) {
        let one: Value = serde_json::from_str(&record.value.unwrap()).unwrap();
        let key = (one["userId"].as_str().unwrap().to_owned(), one["newPrice"].as_i64().unwrap());
        *told.entry(key).or_default() += 1;
    }
    let written = written.lock().unwrap();
    let told_of = |user: &str, price: i64| told.get(&(user.to_owned(), price)).copied().unwrap_or(0);
    for (&price, began) in &posted {
        for user in 0..CROWD {
            assert_eq!(
                told_of(&format!("crowd-{user}"), price),
                1,
                "user {user} of the crowd, price {price}"
            );
        }
        for (user, acknowledged) in written.iter() {
            let count = told_of(user, price);
            assert!(count <= 1, "{user} is told of {price} once");
            assert!(acknowledged > began || count == 1, "{user} was acknowledged before {price} was posted");
        }
    }
    assert!(told.keys().all(|(_, price)| posted.contains_key(price)), "nothing else is told");
    let breaches = engines.iter().map(|engine| engine.request("GET", "/metrics", b"").unwrap());
    for metrics in breaches {
        assert!(metrics.contains("pricedrop_plugin_breaches_total{plugin=\"policy\"} 0\n"), "{metrics}");
    }
    println!(
        "{} prices, {} watches written meanwhile, {} notifications",
        posted.len(),
        written.len(),
        told.len()
    );
}
