//! A second bucketing policy is staged, and the buckets are migrated to it, while prices arrive.

use pricedrop_harness::{shipped, wait_for};
use serde_json::Value;

use crate::support::{get, home, post, put};

#[test]
fn another_mapping_is_staged_and_becomes_active_by_a_migration_alone() {
    let (_folder, home) = home("[bucketing]\nbucket_threshold = 10\naudit_sample_rate = 1\n");
    home.install("bucketing-floor", "policy").unwrap();
    let engine = home.start().unwrap();
    let watches: String = (1..=300)
        .map(|user| format!("{{\"productId\":\"P\",\"userId\":\"u{user}\",\"priceWatchValue\":{user}}}\n"))
        .collect();
    assert_eq!(put(&engine, "/v1/watches", &watches).json()["written"], 300);
    assert_eq!(post(&engine, "/v1/prices", r#"{"productId":"P","newPrice":291}"#).json()["told"], 10);
    home.deploy("policy.wasm", &std::fs::read(shipped("bucketing-log")).unwrap()).unwrap();
    let staged = wait_for("the new policy to be staged", || {
        get(&engine, "/v1/buckets").json()["staged"].as_str().map(str::to_owned)
    })
    .unwrap();
    assert!(get(&engine, "/v1/buckets").json()["active"].as_str().unwrap().starts_with("bucketing-floor"));
    assert_eq!(post(&engine, "/v1/prices", r#"{"productId":"P","newPrice":286}"#).json()["told"], 15);
    let moved = home.run(&["buckets", "migrate"]).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&moved.stdout).unwrap()["active"], staged);
    assert_eq!(get(&engine, "/v1/buckets").json()["active"], staged);
    assert_eq!(post(&engine, "/v1/prices", r#"{"productId":"P","newPrice":281}"#).json()["told"], 20);
    drop(engine);
    let again = home.start().unwrap();
    assert_eq!(get(&again, "/v1/buckets").json()["active"], staged);
    assert_eq!(post(&again, "/v1/prices", r#"{"productId":"P","newPrice":276}"#).json()["told"], 25);
    let metrics = get(&again, "/metrics").body;
    assert!(metrics.contains("pricedrop_plugin_breaches_total{plugin=\"policy\"} 0\n"), "{metrics}");
}
