//! The channels of Slack and ntfy.

use pricedrop_harness::wait_for;
use serde_json::{Value, json};

use crate::providers::{self, Provider, body, key, text};
use crate::support::{arrived, dead_letters, join, metric, post};

fn drop_of_p7() -> Value {
    json!({
        "productId": "P7", "newPrice": 79.9, "currency": "USD", "title": "Red <shoes>",
        "url": "https://shop.example/p/7",
    })
}

/// Sends one message to this address, and returns its record at the provider.
fn sent(provider: &Provider, address: &str) -> Value {
    let (_folder, home) = provider.home();
    let engine = home.start().unwrap();
    join(&home, &engine, "ann", provider.channel, address);
    assert_eq!(post(&engine, &drop_of_p7()), 1);
    arrived(provider.peer(), 1).remove(0)
}

/// Sends one message to this address, once. Returns the reason of its dead letter.
fn died(provider: &Provider, address: &str) -> String {
    let (_folder, home) = provider.home();
    let engine = home.start().unwrap();
    join(&home, &engine, "bob", provider.channel, address);
    assert_eq!(post(&engine, &drop_of_p7()), 1);
    let reason = text(&dead_letters(&home, 1)[0]["reason"]);
    assert_eq!(provider.peer().records().len(), 1);
    reason
}

/// Checks that one message to this address is attempted three times, and arrives the third time.
fn repeated(provider: &Provider, address: &str) {
    let (_folder, home) = provider.home();
    let engine = home.start().unwrap();
    join(&home, &engine, "cyd", provider.channel, address);
    assert_eq!(post(&engine, &drop_of_p7()), 1);
    let records = arrived(provider.peer(), 3);
    for record in &records {
        assert_eq!((key(record), &record["body"]), (key(&records[0]), &records[0]["body"]));
    }
    let channel = provider.channel;
    let delivered = format!("pricedrop_deliveries_total{{channel=\"{channel}\",outcome=\"delivered\"}}");
    wait_for("the confirmation", || (metric(&engine, &delivered) == 1).then_some(())).unwrap();
    assert_eq!(provider.peer().records().len(), 3);
}

fn at(provider: &Provider, path: &str) -> String {
    format!("http://{}/{path}", provider.peer().host())
}

#[test]
fn a_posted_price_reaches_a_channel_of_slack() {
    let slack = providers::slack();
    let record = sent(&slack, &slack.address("ann"));
    assert_eq!(record["headers"]["content-type"], "application/json");
    let shown = text(&body(&record)["text"]);
    assert!(shown.contains("<https://shop.example/p/7|Red &lt;shoes&gt;> now costs $79.90."), "{shown}");
}

#[test]
fn a_webhook_that_slack_removed_is_a_bad_recipient() {
    let slack = providers::slack();
    let reason = died(&slack, &at(&slack, "answer/404/no_service"));
    assert!(reason.starts_with("bad recipient: ") && reason.contains("no_service"), "{reason}");
}

#[test]
fn a_slack_that_fails_gets_the_same_message_until_it_takes_it() {
    let slack = providers::slack();
    repeated(&slack, &at(&slack, "flaky/2/cyd"));
}

#[test]
fn a_posted_price_reaches_a_topic_of_ntfy_with_its_token() {
    let ntfy = providers::ntfy();
    let record = sent(&ntfy, "prices");
    assert_eq!((&record["method"], &record["path"]), (&json!("POST"), &json!("/")));
    let (_, token) = &ntfy.environment[0];
    assert_eq!(record["headers"]["authorization"], format!("Bearer {token}"));
    let message = body(&record);
    assert_eq!(
        (&message["topic"], &message["click"]),
        (&json!("prices"), &json!("https://shop.example/p/7"))
    );
    assert_eq!(message["title"], "Red <shoes> now $79.90");
    assert!(text(&message["message"]).contains("Red <shoes> now costs $79.90."), "{message}");
}

#[test]
fn a_topic_that_ntfy_forbids_becomes_a_dead_letter() {
    let reason = died(&providers::ntfy(), "forbidden-bob");
    assert!(reason.contains("403"), "{reason}");
}

#[test]
fn an_invalid_topic_name_is_refused_before_anything_is_sent() {
    let ntfy = providers::ntfy();
    let (_folder, home) = ntfy.home();
    let _engine = home.start().unwrap();
    let refused = home.command(&["recipient", "add", "ann", ntfy.channel, "no topic"]).output().unwrap();
    assert!(!refused.status.success());
    let reason = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(reason.contains("letters"), "{reason}");
}

#[test]
fn an_ntfy_that_fails_gets_the_same_message_until_it_takes_it() {
    repeated(&providers::ntfy(), "flaky-2-cyd");
}
