//! Push messages to browsers and phones, with services that validate every message.

use pricedrop_harness::wait_for;
use serde_json::{Value, json};

use crate::providers::{self, Provider, body, key, text};
use crate::support::{arrived, dead_letters, join, metric, post};

const LINK: &str = "https://shop.example/p/7?a=1&b=2";

fn drop_of_p7() -> Value {
    json!({"productId": "P7", "newPrice": 79.9, "currency": "USD", "title": "Red \"shoes\"", "url": LINK})
}

/// Waits until this many messages have arrived, not counting requests for tokens.
fn messages(provider: &Provider, count: usize) -> Vec<Value> {
    wait_for(&format!("{count} messages at {}", provider.channel), || {
        let records = provider.peer().records();
        let messages: Vec<Value> = records.into_iter().filter(|record| record["path"] != "/token").collect();
        (messages.len() >= count).then_some(messages)
    })
    .unwrap()
}

fn statuses(records: &[Value]) -> Vec<u64> {
    records.iter().map(|record| record["status"].as_u64().unwrap()).collect()
}

/// Sends to a single user at this address, once. Returns the reason of the dead letter.
fn bad_recipient(provider: &Provider, name: &str) -> String {
    let (_folder, home) = provider.home();
    let engine = home.start().unwrap();
    join(&home, &engine, "bob", provider.channel, &provider.address(name));
    assert_eq!(post(&engine, &drop_of_p7()), 1);
    let reason = text(&dead_letters(&home, 1)[0]["reason"]);
    assert!(reason.starts_with("bad recipient: "), "{reason}");
    assert_eq!(messages(provider, 1).len(), 1);
    reason
}

/// Returns every attempt of a message to this address, which arrives at the last attempt.
fn attempts(provider: &Provider, name: &str, count: usize) -> Vec<Value> {
    let (_folder, home) = provider.home();
    let engine = home.start().unwrap();
    join(&home, &engine, "cyd", provider.channel, &provider.address(name));
    assert_eq!(post(&engine, &drop_of_p7()), 1);
    let records = messages(provider, count);
    let channel = provider.channel;
    let delivered = format!("pricedrop_deliveries_total{{channel=\"{channel}\",outcome=\"delivered\"}}");
    wait_for("the confirmation", || (metric(&engine, &delivered) == 1).then_some(())).unwrap();
    assert_eq!(messages(provider, count).len(), count);
    assert!(records.iter().all(|record| key(record) == key(&records[0])), "{records:?}");
    assert_eq!(dead_letters(&home, 0), [] as [Value; 0]);
    records
}

#[test]
fn a_posted_price_reaches_the_browser_encrypted_and_signed() {
    let push = providers::webpush(&["ann"]);
    let (_folder, home) = push.home();
    let engine = home.start().unwrap();
    join(&home, &engine, "ann", push.channel, &push.address("ann"));
    assert_eq!(post(&engine, &drop_of_p7()), 1);
    let record = &arrived(push.peer(), 1)[0];
    assert_eq!(record["status"], 201, "{record}");
    let payload: Value = serde_json::from_str(&text(&record["payload"])).unwrap();
    assert_eq!((&payload["title"], &payload["url"]), (&json!("Red \"shoes\""), &json!(LINK)));
    assert!(text(&payload["body"]).contains("$79.90"), "{payload}");
    let headers = &record["headers"];
    assert_eq!(payload["tag"], headers["topic"]);
    assert_eq!((&headers["urgency"], &headers["content-encoding"]), (&json!("normal"), &json!("aes128gcm")));
    let ttl_s: u64 = text(&headers["ttl"]).parse().unwrap();
    assert!((1..=86_400).contains(&ttl_s), "{ttl_s}");
    assert_eq!(record["claims"]["sub"], "mailto:ops@shop.test");
}

#[test]
fn a_later_drop_replaces_the_undelivered_message_in_the_browser() {
    let push = providers::webpush(&["ann"]);
    let (_folder, home) = push.home();
    let engine = home.start().unwrap();
    join(&home, &engine, "ann", push.channel, &push.address("ann"));
    assert_eq!(post(&engine, &drop_of_p7()), 1);
    arrived(push.peer(), 1);
    assert_eq!(post(&engine, &json!({"productId": "P7", "newPrice": 70})), 1);
    let records = arrived(push.peer(), 2);
    assert_eq!(records[0]["headers"]["topic"], records[1]["headers"]["topic"]);
    assert_ne!(key(&records[0]), key(&records[1]));
}

#[test]
fn a_subscription_that_has_ended_is_a_bad_recipient_and_asked_once() {
    let push = providers::webpush(&["gone"]);
    assert!(bad_recipient(&push, "gone").contains("the subscription has ended"));
}

#[test]
fn a_push_service_that_fails_gets_the_same_message_until_it_takes_it() {
    let push = providers::webpush(&["flaky/2/cyd"]);
    let records = attempts(&push, "flaky/2/cyd", 3);
    assert_eq!(statuses(&records), [503, 503, 201]);
    assert!(records.iter().all(|record| record["payload"] == records[0]["payload"]), "{records:?}");
}

/// RFC 8291, section 2: only the application server shares the secret, so that the push service
/// cannot read the messages.
#[test]
fn the_push_service_does_not_learn_the_secret_of_a_subscription() {
    let push = providers::webpush(&["ann"]);
    let (_folder, home) = push.home();
    let engine = home.start().unwrap();
    join(&home, &engine, "ann", push.channel, &push.address("ann"));
    assert_eq!(post(&engine, &drop_of_p7()), 1);
    let record = &arrived(push.peer(), 1)[0];
    let secret = text(&push.peer().hello["subscriptions"]["ann"]["keys"]["auth"]);
    assert!(!record["headers"].to_string().contains(&secret), "{}", record["headers"]);
}

#[test]
fn a_posted_price_reaches_a_device_by_fcm_in_the_form_that_google_documents() {
    let fcm = providers::fcm();
    let (_folder, home) = fcm.home();
    let engine = home.start().unwrap();
    for user in ["ann", "bob"] {
        join(&home, &engine, user, fcm.channel, &fcm.address(user));
    }
    assert_eq!(post(&engine, &drop_of_p7()), 2);
    let records = messages(&fcm, 2);
    assert_eq!(statuses(&records), [200, 200], "{records:?}");
    let sent = records.iter().map(body).find(|body| body["message"]["token"] == "ann").unwrap();
    let message = &sent["message"];
    assert_eq!(message["notification"]["title"], "Red \"shoes\"");
    assert!(text(&message["notification"]["body"]).contains("$79.90"), "{message}");
    assert_eq!((&message["data"]["productId"], &message["data"]["url"]), (&json!("P7"), &json!(LINK)));
    assert!(message["android"]["collapse_key"].is_string(), "{message}");
    // All requests share one token.
    assert_eq!(fcm.peer().records().len(), 3);
}

#[test]
fn a_device_that_fcm_does_not_know_is_a_bad_recipient_and_asked_once() {
    let reason = bad_recipient(&providers::fcm(), "unregistered-bob");
    assert!(reason.contains("UNREGISTERED"), "{reason}");
}

#[test]
fn a_quota_of_fcm_is_waited_for() {
    let fcm = providers::fcm();
    let records = attempts(&fcm, "quota-cyd", 2);
    assert_eq!(statuses(&records), [429, 200]);
    // Without `retry-after` the longest wait would be 0.1 s.
    let waited_s = records[1]["at"].as_f64().unwrap() - records[0]["at"].as_f64().unwrap();
    assert!(waited_s >= 1.0, "{waited_s} s");
}

#[test]
fn a_token_that_google_revoked_is_replaced_by_a_new_one() {
    let fcm = providers::fcm();
    let records = attempts(&fcm, "revoked-cyd", 2);
    assert_eq!(statuses(&records), [401, 200]);
    let token = |number: usize| text(&records[number]["headers"]["authorization"]);
    assert_ne!(token(0), token(1));
}

#[test]
fn a_posted_price_reaches_a_device_by_apns() {
    let apns = providers::apns();
    let (_folder, home) = apns.home();
    let engine = home.start().unwrap();
    for user in ["ann", "bob"] {
        join(&home, &engine, user, apns.channel, &apns.address(user));
    }
    assert_eq!(post(&engine, &drop_of_p7()), 2);
    let records = arrived(apns.peer(), 2);
    assert_eq!(statuses(&records), [200, 200], "{records:?}");
    let record = records.iter().find(|record| record["device"] == apns.address("ann")).unwrap();
    let payload = body(record);
    assert_eq!(payload["aps"]["alert"]["title"], "Red \"shoes\"");
    assert!(text(&payload["aps"]["alert"]["body"]).contains("$79.90"), "{payload}");
    let headers = &record["headers"];
    assert_eq!(headers["apns-topic"], apns.peer().hello["topic"]);
    assert_eq!(headers["apns-push-type"], "alert");
    for name in ["apns-id", "apns-collapse-id", "apns-expiration"] {
        assert!(headers[name].is_string(), "{name}: {headers}");
    }
    // All requests share one provider token, as Apple requires.
    assert_eq!(headers["authorization"], records[0]["headers"]["authorization"]);
    assert_eq!(headers["authorization"], records[1]["headers"]["authorization"]);
}

#[test]
fn a_device_that_apple_says_is_dead_is_a_bad_recipient_and_asked_once() {
    let reason = bad_recipient(&providers::apns(), "dead");
    assert!(reason.contains("Unregistered"), "{reason}");
}

#[test]
fn a_device_token_that_apple_refuses_is_a_bad_recipient() {
    let reason = bad_recipient(&providers::apns(), "bad0");
    assert!(reason.contains("BadDeviceToken"), "{reason}");
}

#[test]
fn an_apns_that_fails_gets_the_same_message_with_the_same_id() {
    let apns = providers::apns();
    let records = attempts(&apns, "5030", 2);
    assert_eq!(statuses(&records), [503, 200]);
    assert_eq!(records[0]["headers"]["apns-id"], records[1]["headers"]["apns-id"]);
    assert_eq!(records[0]["body"], records[1]["body"]);
}

#[test]
fn a_provider_token_that_apple_finds_expired_is_replaced_by_a_new_one() {
    let records = attempts(&providers::apns(), "4030", 2);
    assert_eq!(statuses(&records), [403, 200]);
}
