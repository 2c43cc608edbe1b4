//! The errors of an engine on servers that cannot start.

use std::time::{Duration, Instant};

use pricedrop_harness::kafka::Kafka;
use pricedrop_harness::servers::Own;
use pricedrop_harness::{Home, wait_for};

use crate::running::{notifications, post};
use crate::support::{NOWHERE, Setting, run_cli};

fn refused(setting: &Setting, arguments: &[&str]) -> String {
    let (_folder, home) = setting.home();
    run_cli(setting, &home, arguments)
}

#[test]
fn missing_topics_are_refused_with_the_command_that_creates_them() {
    let setting = Setting::new();
    let report = refused(&setting, &["run"]);
    assert!(report.contains("exit code 1"), "{report}");
    assert!(report.contains("topic NAME.prices is missing"), "{report}");
    assert!(report.contains("pricedrop topics apply"), "{report}");
}

#[test]
fn an_unavailable_server_is_named() {
    let setting = Setting::new().prepared();
    let kafka = refused(&Setting { kafka: NOWHERE.into(), ..setting.clone() }, &["run"]);
    assert!(kafka.contains("exit code 1") && kafka.contains("Kafka"), "{kafka}");
    let cassandra = refused(&Setting { cassandra: NOWHERE.into(), ..setting }, &["run"]);
    assert!(cassandra.contains("exit code 1"), "{cassandra}");
    assert!(cassandra.contains("Cassandra at CASSANDRA does not answer"), "{cassandra}");
}

/// The cache is optional, and deliveries wait for their leases.
#[test]
fn without_redis_the_engine_starts_and_delivers_as_soon_as_redis_is_available() {
    let folder = tempfile::tempdir().unwrap();
    let mut redis = Own::redis(folder.path()).unwrap();
    redis.kill().unwrap();
    let setting = Setting { redis: redis.address().into(), ..Setting::new() }.prepared();
    let (_folder, home) = setting.home();
    let product = format!("{}-P", setting.name);
    let mut engine = home.launch().unwrap();
    engine.wait_until_notifying().unwrap();
    let reasons = engine.reasons().unwrap();
    assert!(reasons.iter().any(|reason| reason.starts_with("redis: ")), "{reasons:?}");
    let added = run_cli(&setting, &home, &["watch", "add", &product, "80", "u1"]);
    assert!(added.contains("exit code 0"), "{added}");
    post(&engine, &format!(r#"{{"productId":"{product}","newPrice":79.9}}"#));
    wait_for("the notification", || (notifications(&home).len() == 1).then_some(())).unwrap();
    assert!(engine.take_lines().is_empty());
    redis.start().unwrap();
    engine.wait_until_ready().unwrap();
    let line = wait_for("the console to tell", || engine.take_lines().into_iter().next()).unwrap();
    assert!(line.contains("u1 told about"), "{line}");
}

#[test]
fn a_folder_stays_locked_until_the_process_that_stops_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let redis = Own::redis(folder.path()).unwrap();
    let setting = Setting { redis: redis.address().into(), ..Setting::new() }.prepared();
    let (_folder, home) = setting.home();
    let mut engine = home.start().unwrap();
    redis.all().pause().unwrap();
    engine.signal("TERM").unwrap();
    let lock = std::fs::File::open(home.folder.join("data/kafka-instance")).unwrap();
    wait_for("the lock", || lock.try_lock().ok()).unwrap();
    let unlocked = Instant::now();
    wait_for("the end of the process", || engine.ended()).unwrap();
    assert!(unlocked.elapsed() < Duration::from_secs(1), "{:?} before its end", unlocked.elapsed());
    redis.all().resume().unwrap();
}

#[test]
fn a_table_with_other_columns_is_refused() {
    let setting = Setting { alerts: "user_channels".into(), ..Setting::new().prepared() };
    let report = refused(&setting, &["run"]);
    assert!(report.contains("exit code 1") && report.contains("it has no column product_id"), "{report}");
}

#[test]
fn a_second_process_on_the_same_folder_is_refused() {
    let setting = Setting::new().prepared();
    let (_folder, home) = setting.home();
    let _engine = home.start().unwrap();
    let report = run_cli(&setting, &home, &["run"]);
    assert!(report.contains("exit code 1") && report.contains("is in use by another process"), "{report}");
    assert!(report.contains("every instance needs a folder of its own"), "{report}");
}

#[test]
fn a_topic_with_records_requires_a_start_and_a_rule_for_first_prices() {
    let setting = Setting::new().prepared();
    let kafka = Kafka { bootstrap: setting.kafka.clone() };
    let producer = kafka.producer().unwrap();
    let price = r#"{"productId":"P","newPrice":5}"#;
    producer.send(&format!("{}.prices", setting.name), "P", price).unwrap();
    producer.flush().unwrap();
    let newcomer = setting.with("[stream]\ngroup = \"newcomer\"\n");
    let report = refused(&newcomer, &["run"]);
    assert!(report.contains("exit code 1") && report.contains("stream.start"), "{report}");
    assert!(report.contains("rules.first_price"), "{report}");
    let half = setting.with("[stream]\ngroup = \"newcomer\"\nstart = \"latest\"\n");
    let report = refused(&half, &["run"]);
    assert!(report.contains("exit code 1") && report.contains("rules.first_price"), "{report}");
    let told = setting
        .with("[stream]\ngroup = \"newcomer\"\nstart = \"latest\"\n[rules]\nfirst_price = \"baseline\"\n");
    let (_folder, home) = told.home();
    start(&home);
}

fn start(home: &Home) {
    home.start().unwrap();
}
