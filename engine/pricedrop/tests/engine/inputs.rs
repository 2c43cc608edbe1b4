//! Everyday inputs that are slightly wrong: none costs a notification without an error that says why.

use pricedrop_harness::{Engine, Home};
use pricedrop_model::limits::FUTURE_MS;
use pricedrop_model::time::SystemClock;
use pricedrop_model::{Clock as _, EventTime};
use serde_json::json;

use crate::support::{get, home, post, put};

fn start(home: &Home) -> Engine {
    let engine = home.start().unwrap();
    put(&engine, "/v1/watches", r#"{"productId":"P","userId":"u","priceWatchValue":80}"#);
    engine
}

#[test]
fn a_time_in_another_unit_is_refused_and_makes_no_later_update_stale() {
    let (_folder, home) = home("");
    let engine = start(&home);
    for (time, unit) in [("1796006060000000", "microseconds"), ("1796006060", "seconds")] {
        let update = format!(r#"{{"productId":"P","newPrice":70,"occurredAt":{time}}}"#);
        let refused = post(&engine, "/v1/prices", update);
        let reason = refused.json()["error"].as_str().unwrap().to_owned();
        assert_eq!(refused.status, 400);
        assert!(reason.contains(&format!("{time} looks like {unit}")), "{reason}");
    }
    let update = r#"{"productId":"P","newPrice":70,"occurredAt":1796006060000}"#;
    assert_eq!(post(&engine, "/v1/prices", update).json()["told"], 1);
}

/// The log is the promise: it names product and position.
#[test]
fn an_update_from_the_future_counts_and_is_logged_with_its_product_and_position() {
    let (folder, home) = home("");
    let engine = start(&home);
    let at = EventTime(SystemClock.now().0 + FUTURE_MS + 60_000);
    let update = format!(r#"{{"productId":"P","newPrice":70,"occurredAt":"{at}"}}"#);
    assert_eq!(post(&engine, "/v1/prices", update).json()["told"], 1);
    assert!(get(&engine, "/metrics").body.contains("pricedrop_future_updates_total 1\n"));
    let log = std::fs::read_to_string(folder.path().join("engine.log")).unwrap();
    let line = log.lines().find(|line| line.contains("more than a day in the future")).unwrap_or(&log);
    assert!(line.contains("product=P") && line.contains("offset=0"), "{line}");
    let near = EventTime(SystemClock.now().0 + FUTURE_MS - 60_000);
    let update = format!(r#"{{"productId":"Q","newPrice":70,"occurredAt":"{near}"}}"#);
    assert_eq!(post(&engine, "/v1/prices", update).status, 200);
    assert!(get(&engine, "/metrics").body.contains("pricedrop_future_updates_total 1\n"));
}

#[test]
fn a_binary_float_is_named_and_rounded_if_the_rules_say_so() {
    let update = r#"{"productId":"P","newPrice":71.91000000000001}"#;
    let (_folder, exact) = home("");
    let refused = post(&start(&exact), "/v1/prices", update);
    let reason = refused.json()["error"].as_str().unwrap().to_owned();
    assert!(reason.contains("binary float near 71.91") && reason.contains("round_decimals"), "{reason}");

    let (folder, rounding) = home("[rules]\nround_decimals = 2\n");
    let engine = start(&rounding);
    assert_eq!(post(&engine, "/v1/prices", update).json()["told"], 1);
    assert_eq!(get(&engine, "/v1/prices/P").json()["price"].to_string(), "71.91");
    let half = r#"{"productId":"P","newPrice":"70.125"}"#;
    assert_eq!(post(&engine, "/v1/prices", half).json()["told"], 1);
    assert_eq!(get(&engine, "/v1/prices/P").json()["price"].to_string(), "70.12");

    std::fs::write(folder.path().join("w.csv"), "product_id,price_watch_value,user_id\nP,71.91,u\n").unwrap();
    std::fs::write(folder.path().join("u.jsonl"), update).unwrap();
    let simulated = rounding.run(&["simulate", "--watches", "w.csv", "--updates", "u.jsonl"]).unwrap();
    let lines = String::from_utf8(simulated.stdout).unwrap();
    assert!(lines.contains(r#""newPrice":71.91"#), "{lines} {}", String::from_utf8_lossy(&simulated.stderr));
}

#[test]
fn invalid_bytes_in_a_title_cost_the_title_and_not_the_notification() {
    let (_folder, home) = home("");
    let engine = start(&home);
    let update =
        b"{\"productId\":\"P\",\"newPrice\":70,\"title\":\"Caf\xE9\",\"url\":\"https://shop.test/p\"}";
    assert_eq!(post(&engine, "/v1/prices", update).json()["told"], 1);
    let notification = get(&engine, "/v1/notifications?from=0").json();
    assert_eq!((&notification["title"], &notification["url"]), (&json!(null), &json!("https://shop.test/p")));
    let product = b"{\"productId\":\"P\xE9\",\"newPrice\":60}";
    assert_eq!(post(&engine, "/v1/prices", product).json()["error"], "productId is not UTF-8");
}
