//! Push messages to a real Firefox: it subscribes and decrypts them, and its service worker
//! shows the notification.

use pricedrop_harness::browser::Browser;
use pricedrop_harness::peers::Peer;
use pricedrop_harness::wait_for;
use serde_json::{Value, json};

use crate::providers::{self, text};
use crate::support::{dead_letters, join, post};

const LINK: &str = "https://shop.example/p/7?a=1&b=2";

/// Waits until the browser has shown this many notifications.
fn shown(browser: &Browser, count: usize) -> Vec<Value> {
    wait_for(&format!("{count} notifications in Firefox"), || {
        Some(browser.notifications()).filter(|all| all.len() >= count)
    })
    .unwrap()
}

/// Waits until the browser has sent a message of this type to its push service.
fn heard(push: &Peer, kind: &str) -> Value {
    wait_for(&format!("the browser's {kind}"), || {
        push.records().into_iter().find(|record| record["messageType"] == kind)
    })
    .unwrap()
}

#[test]
fn a_posted_price_is_decrypted_and_shown_by_a_real_firefox() {
    let push = providers::autopush();
    let browser = Browser::subscribed_at(push.peer()).unwrap();
    let (_folder, home) = push.home();
    let engine = home.start().unwrap();
    join(&home, &engine, "ann", push.channel, &browser.subscription().to_string());
    let update = json!({"productId": "P7", "newPrice": 79.9, "currency": "USD", "title": "Red \"shoes\"", "url": LINK});
    assert_eq!(post(&engine, &update), 1);
    let first = shown(&browser, 1).remove(0);
    assert_eq!(
        (&first["title"], &first["body"], &first["data"]),
        (&json!("Red \"shoes\""), &json!("Now $79.90"), &json!({"url": LINK}))
    );
    // Firefox's code for a message that the service worker has received.
    assert_eq!(heard(push.peer(), "ack")["updates"][0]["code"], 100);

    assert_eq!(post(&engine, &json!({"productId": "P7", "newPrice": 70})), 1);
    let second = shown(&browser, 2).remove(1);
    assert_eq!(second["body"], "Now $70.00, it cost $79.90 before");
    assert_eq!(second["tag"], first["tag"], "the later notification replaces the former");
}

#[test]
fn a_real_firefox_that_unsubscribed_is_a_bad_recipient() {
    let push = providers::autopush();
    let mut browser = Browser::subscribed_at(push.peer()).unwrap();
    let (_folder, home) = push.home();
    let engine = home.start().unwrap();
    join(&home, &engine, "ann", push.channel, &browser.subscription().to_string());
    browser.click("#unsubscribe").unwrap();
    heard(push.peer(), "unregister");
    assert_eq!(post(&engine, &json!({"productId": "P7", "newPrice": 79.9})), 1);
    let reason = text(&dead_letters(&home, 1)[0]["reason"]);
    assert_eq!(reason, "bad recipient: the subscription has ended");
    assert_eq!(browser.notifications(), [] as [Value; 0]);
}
