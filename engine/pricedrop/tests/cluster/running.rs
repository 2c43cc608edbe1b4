//! A running engine on servers: prices in, notifications out, roles, stopping.

use pricedrop_harness::kafka::Kafka;
use pricedrop_harness::{Engine, Home, wait_for};
use serde_json::Value;

use crate::support::{NOWHERE, Setting, run_cli};

/// Returns the notifications of all partitions.
pub fn notifications(home: &Home) -> Vec<Value> {
    let report = home.run(&["notifications", "list", "--json", "--limit", "0"]).unwrap();
    let text = String::from_utf8(report.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub fn post(engine: &Engine, body: &str) -> Value {
    serde_json::from_str(&engine.request("POST", "/v1/prices", body.as_bytes()).unwrap()).unwrap()
}

/// Returns the sum of the samples in `/metrics` that begin with this.
pub fn metric(engine: &Engine, beginning: &str) -> f64 {
    engine.samples(beginning).unwrap().into_iter().sum()
}

#[test]
fn a_posted_price_notifies_each_watcher_once() {
    let setting = Setting::new().prepared();
    let (_folder, home) = setting.home();
    let product = format!("{}-P", setting.name);
    let engine = home.start().unwrap();
    engine.wait_until_notifying().unwrap();
    engine.wait_until_dispatching().unwrap();
    home.run(&["watch", "add", &product, "80", "u1"]).unwrap();
    home.run(&["watch", "add", &product, "70", "u2"]).unwrap();
    let queued = post(&engine, &format!(r#"{{"productId":"{product}","newPrice":79.9}}"#));
    assert_eq!((&queued["queued"], &queued["told"]), (&Value::from(1), &Value::from(0)));
    let line = wait_for("the console to tell", || engine.take_lines().into_iter().next()).unwrap();
    assert!(line.contains("u1 told about"), "{line}");
    assert_eq!(notifications(&home).len(), 1);
    drop(engine);
    // It continues at its offset, with its states.
    let engine = home.start().unwrap();
    engine.wait_until_notifying().unwrap();
    post(&engine, &format!(r#"{{"productId":"{product}","newPrice":69.9}}"#));
    wait_for("both to be told", || (notifications(&home).len() == 3).then_some(())).unwrap();
    wait_for("metrics of the servers", || {
        let offsets = metric(&engine, "pricedrop_input_offset");
        (offsets > 0.0 && metric(&engine, "pricedrop_transactions_total") > 0.0).then_some(())
    })
    .unwrap();
    assert!(metric(&engine, "pricedrop_cassandra_read_seconds_count") > 0.0);
}

#[test]
fn a_notifier_alone_writes_notifications_and_sends_nothing() {
    let setting = Setting::new().prepared();
    let (_folder, home) = setting.home();
    let product = format!("{}-P", setting.name);
    let engine = home.start_with(&["--role", "notifier"]).unwrap();
    engine.wait_until_notifying().unwrap();
    home.run(&["watch", "add", &product, "80", "u1"]).unwrap();
    post(&engine, &format!(r#"{{"productId":"{product}","newPrice":79.9}}"#));
    wait_for("the notification", || (notifications(&home).len() == 1).then_some(())).unwrap();
    assert!(engine.take_lines().is_empty());
    drop(engine);
    // The dispatcher, another process, finds the notification in the topic.
    let dispatcher = setting.with("[stream]\nstart = \"earliest\"\n");
    let (_folder, home) = dispatcher.home();
    let engine = home.start_with(&["--role", "dispatcher"]).unwrap();
    wait_for("the console to tell", || engine.take_lines().into_iter().next()).unwrap();
}

#[test]
fn a_notifier_that_does_not_cache_needs_no_redis() {
    let setting = Setting { redis: NOWHERE.into(), cache: "none", ..Setting::new() }.prepared();
    let (_folder, home) = setting.home();
    let doctor = run_cli(&setting, &home, &["doctor", "--role", "notifier"]);
    assert!(doctor.contains("exit code 0") && !doctor.contains("redis"), "{doctor}");
    let engine = home.start_with(&["--role", "notifier"]).unwrap();
    engine.wait_until_notifying().unwrap();
    let ready = || engine.request("GET", "/readyz", b"").ok();
    let ready = wait_for("the engine to be ready", ready).unwrap();
    assert!(!ready.contains("redis"), "{ready}");
    assert_eq!(engine.samples("pricedrop_redis_operations").unwrap(), [0.0; 0], "it asks Redis nothing");
}

#[test]
fn a_shadow_counts_and_notifies_nobody() {
    let setting = Setting::new().prepared();
    let (_folder, home) = setting.home();
    home.run(&["topics", "apply", "--shadow"]).unwrap();
    let product = format!("{}-P", setting.name);
    let engine = home.start_with(&["--shadow"]).unwrap();
    engine.wait_until_notifying().unwrap();
    home.run(&["watch", "add", &product, "80", "u1"]).unwrap();
    produce(&setting, &product, "no update");
    post(&engine, &format!(r#"{{"productId":"{product}","newPrice":79.9}}"#));
    wait_for("the shadow to decide", || {
        let (told, dead) = ("pricedrop_notifications_total", r#"pricedrop_updates_total{outcome="dead"}"#);
        (metric(&engine, told) == 1.0 && metric(&engine, dead) == 1.0).then_some(())
    })
    .unwrap();
    assert!(notifications(&home).is_empty() && engine.take_lines().is_empty());
    assert!(dead_letters(&home).is_empty());
}

fn produce(setting: &Setting, key: &str, value: &str) {
    let kafka = Kafka { bootstrap: setting.kafka.clone() };
    let producer = kafka.producer().unwrap();
    producer.send(&format!("{}.prices", setting.name), key, value).unwrap();
    producer.flush().unwrap();
}

fn dead_letters(home: &Home) -> Vec<String> {
    let report = home.run(&["dlq", "list", "--json"]).unwrap();
    String::from_utf8(report.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn mistakes_of_a_producer_are_reported_and_affect_no_other_record() {
    let setting = Setting::new().prepared();
    let (_folder, home) = setting.home();
    let product = format!("{}-P", setting.name);
    let engine = home.start_with(&["--role", "notifier"]).unwrap();
    engine.wait_until_notifying().unwrap();
    home.run(&["watch", "add", &product, "80", "u1"]).unwrap();
    produce(&setting, &product, r#"{"productId":"P","newPrice":"cheap"}"#);
    produce(&setting, "another key", &format!(r#"{{"productId":"{product}","newPrice":79.9}}"#));
    wait_for("the notification", || (notifications(&home).len() == 1).then_some(())).unwrap();
    wait_for("the dead letter", || (dead_letters(&home).len() == 1).then_some(())).unwrap();
    assert!(dead_letters(&home)[0].contains("newPrice"), "{:?}", dead_letters(&home));
    wait_for("the key to be counted", || {
        (metric(&engine, "pricedrop_key_mismatches_total") == 1.0).then_some(())
    })
    .unwrap();
    let doctor = run_cli(&setting, &home, &["doctor", "--role", "notifier"]);
    assert!(doctor.contains("not keyed by productId"), "{doctor}");
}

#[test]
fn on_sigterm_begun_work_is_committed_and_other_engines_take_over() {
    let setting = Setting::new().prepared();
    let (_first_folder, first) = setting.home();
    let (_second_folder, second) = setting.home();
    let product = format!("{}-P", setting.name);
    let mut leaving = first.start().unwrap();
    leaving.wait_until_notifying().unwrap();
    first.run(&["watch", "add", &product, "100", "u1"]).unwrap();
    let staying = second.start().unwrap();
    staying.wait_until_notifying().unwrap();
    for price in 50..90 {
        post(&leaving, &format!(r#"{{"productId":"{product}","newPrice":{}}}"#, 140 - price));
    }
    leaving.signal("TERM").unwrap();
    leaving.wait().unwrap();
    // Each drop from 90 down was notified once, by one engine or the other.
    wait_for("every drop to be told", || (notifications(&second).len() == 40).then_some(())).unwrap();
    wait_for("all partitions to be served", || {
        let served = staying.samples("pricedrop_input_offset{").ok()?;
        (served.len() == 2).then_some(())
    })
    .unwrap();
}
