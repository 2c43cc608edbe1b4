//! Webhooks to servers with faults, and to hosts that are not allowed.

use std::collections::BTreeSet;

use pricedrop_harness::peers::Peer;
use pricedrop_harness::wait_for;
use serde_json::{Value, json};

use crate::support::{arrived, dead_letters, home, join, metric, post};

const CHANNEL: &str = "channel-webhook";

fn drop_of_p7() -> Value {
    json!({"productId": "P7", "newPrice": 79.9, "currency": "USD", "title": "Red \"shoes\""})
}

fn listing(hosts: &[String]) -> String {
    format!("hosts = {hosts:?}\n")
}

fn keys(records: &[Value]) -> BTreeSet<&str> {
    records.iter().map(|record| record["headers"]["idempotency-key"].as_str().unwrap()).collect()
}

#[test]
fn a_failing_server_gets_the_same_request_until_it_takes_it_and_no_more() {
    let peer = Peer::http().unwrap();
    let (_folder, home) = home(CHANNEL, &listing(&[peer.host()]));
    let mut engine = home.start().unwrap();
    join(&home, &engine, "ann", CHANNEL, &format!("http://{}/flaky/2/ann", peer.host()));
    assert_eq!(post(&engine, &drop_of_p7()), 1);
    let records = arrived(&peer, 3);
    assert_eq!(keys(&records).len(), 1, "{records:?}");
    assert!(records.iter().all(|record| record["body"] == records[0]["body"]));
    assert_eq!(records[0]["method"], "POST");
    let body: Value = serde_json::from_str(records[0]["body"].as_str().unwrap()).unwrap();
    for (name, value) in [("userId", json!("ann")), ("productId", json!("P7")), ("newPrice", json!(79.9))] {
        assert_eq!(body[name], value, "{body}");
    }
    assert_eq!(body["title"], "Red \"shoes\"");
    let delivered = format!("pricedrop_deliveries_total{{channel=\"{CHANNEL}\",outcome=\"delivered\"}}");
    wait_for("the confirmation", || (metric(&engine, &delivered) == 1).then_some(())).unwrap();
    // A confirmed delivery is not sent again, not even after a crash; a later drop
    // is another notification.
    engine.kill().unwrap();
    let engine = home.start().unwrap();
    assert_eq!(post(&engine, &json!({"productId": "P7", "newPrice": 70})), 1);
    let records = arrived(&peer, 4);
    assert_eq!((records.len(), keys(&records).len()), (4, 2), "{records:?}");
}

#[test]
fn a_server_that_asks_to_wait_is_waited_for() {
    let peer = Peer::http().unwrap();
    let (_folder, home) = home(CHANNEL, &listing(&[peer.host()]));
    let engine = home.start().unwrap();
    join(&home, &engine, "ann", CHANNEL, &format!("http://{}/wait/2/ann", peer.host()));
    assert_eq!(post(&engine, &drop_of_p7()), 1);
    let records = arrived(&peer, 2);
    let at = |number: usize| records[number]["at"].as_f64().unwrap();
    // Without `retry-after` the longest wait would be 0.1 s.
    assert!(at(1) - at(0) >= 2.0, "{} s", at(1) - at(0));
    assert_eq!(keys(&records).len(), 1);
}

#[test]
fn an_unlisted_host_is_not_contacted_and_the_dead_letter_says_how_to_list_it() {
    let (listed, other) = (Peer::http().unwrap(), Peer::http().unwrap());
    let (_folder, home) = home(CHANNEL, &listing(&[listed.host()]));
    let engine = home.start().unwrap();
    join(&home, &engine, "ann", CHANNEL, &format!("http://{}/ok", listed.host()));
    join(&home, &engine, "eve", CHANNEL, &format!("http://{}/ok", other.host()));
    assert_eq!(post(&engine, &drop_of_p7()), 2);
    let reason = dead_letters(&home, 1)[0]["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains(&format!("{} is not among the hosts", other.host())), "{reason}");
    assert!(reason.contains("add it to `hosts` in channel-webhook.toml"), "{reason}");
    arrived(&listed, 1);
    assert_eq!(other.records(), [] as [Value; 0]);
}

#[test]
fn an_address_that_is_gone_is_a_bad_recipient_and_asked_once() {
    let peer = Peer::http().unwrap();
    let (_folder, home) = home(CHANNEL, &listing(&[peer.host()]));
    let engine = home.start().unwrap();
    join(&home, &engine, "ann", CHANNEL, &format!("http://{}/status/410", peer.host()));
    assert_eq!(post(&engine, &drop_of_p7()), 1);
    let item = &dead_letters(&home, 1)[0];
    assert!(item["reason"].as_str().unwrap().starts_with("bad recipient: HTTP 410"), "{item}");
    assert_eq!(peer.records().len(), 1);
}

#[test]
fn a_credential_goes_to_its_host_alone() {
    let (its, other) = (Peer::http().unwrap(), Peer::http().unwrap());
    let sidecar = format!(
        r#"
        hosts = ["{its}", "{other}"]
        [settings]
        credential = "hook"
        [credentials.hook]
        hosts = ["{its}"]
        scheme = "bearer"
        token = {{ env = "HOOK_TOKEN" }}
        "#,
        its = its.host(),
        other = other.host(),
    );
    let (folder, mut home) = home(CHANNEL, &sidecar);
    home.environment.push(("HOOK_TOKEN".into(), "s3cret-token".into()));
    let engine = home.start().unwrap();
    join(&home, &engine, "ann", CHANNEL, &format!("http://{}/ok", its.host()));
    join(&home, &engine, "eve", CHANNEL, &format!("http://{}/ok", other.host()));
    assert_eq!(post(&engine, &drop_of_p7()), 2);
    assert_eq!(arrived(&its, 1)[0]["headers"]["authorization"], "Bearer s3cret-token");
    let item = dead_letters(&home, 1)[0].to_string();
    assert!(item.contains("the credential may not be sent to 127.0.0.1"), "{item}");
    assert_eq!(other.records(), [] as [Value; 0]);
    // The log is one of the places where a secret must not appear.
    let log = std::fs::read_to_string(folder.path().join("engine.log")).unwrap();
    assert!(!item.contains("s3cret-token") && !log.contains("s3cret-token"), "it is shown to nobody");
}
