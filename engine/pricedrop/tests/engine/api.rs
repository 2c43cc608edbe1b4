//! The API of a running embedded engine: what it accepts and what it responds.

use serde_json::json;

use crate::support::{delete, get, home, post, put};

#[test]
fn the_response_to_a_price_counts_the_notified_users() {
    let (_folder, home) = home("");
    let engine = home.start().unwrap();
    let watch = put(&engine, "/v1/watches", r#"{"productId":"P7","userId":"u1","priceWatchValue":80}"#);
    assert_eq!((watch.status, watch.json()["armed"].clone()), (200, json!(true)));
    let summary = post(&engine, "/v1/prices", r#"{"productId":"P7","newPrice":79.90}"#).json();
    assert_eq!((summary["drops"].clone(), summary["told"].clone()), (json!(1), json!(1)));
    assert_eq!((summary["offset"].clone(), summary["next"].clone()), (json!(0), json!(1)));
    let told = get(&engine, "/v1/notifications?from=0");
    assert!(told.head.contains("pricedrop-next-offset: 1"), "{}", told.head);
    assert!(told.body.starts_with(r#"{"userId":"u1","productId":"P7","newPrice":79.9,"#), "{}", told.body);
    let price = get(&engine, "/v1/prices/P7").json();
    assert_eq!((price["price"].to_string(), price["floor"].clone()), ("79.9".into(), json!({"drop": 79.9})));
    assert_eq!(get(&engine, "/v1/prices/P8").status, 404);
}

#[test]
fn a_post_repeated_with_its_offset_is_processed_once() {
    let (_folder, home) = home("");
    let engine = home.start().unwrap();
    put(&engine, "/v1/watches", r#"{"productId":"P","userId":"u","priceWatchValue":9}"#);
    let lines = "{\"productId\":\"P\",\"newPrice\":8}\n{\"productId\":\"P\",\"newPrice\":7}\n";
    let first = post(&engine, "/v1/prices?offset=0", lines).json();
    assert_eq!((first["told"].clone(), first["already"].clone()), (json!(2), json!(0)));
    let again = post(&engine, "/v1/prices?offset=0", lines).json();
    assert_eq!((again["told"].clone(), again["already"].clone()), (json!(0), json!(2)));
    let ahead = post(&engine, "/v1/prices?offset=5", lines);
    assert_eq!((ahead.status, ahead.json()["remedy"].clone()), (409, json!("continue at offset 2")));
    assert_eq!(post(&engine, "/v1/prices?offset=-1", lines).status, 400);
}

#[test]
fn an_unreadable_update_is_a_dead_letter_and_can_be_replayed() {
    let (_folder, home) = home("");
    let engine = home.start().unwrap();
    let alone = post(&engine, "/v1/prices", "nonsense");
    assert_eq!(alone.status, 400);
    assert!(alone.json()["remedy"].as_str().unwrap().contains("pricedrop dlq list"));
    let many = post(&engine, "/v1/prices", "{\"productId\":\"P\",\"newPrice\":1}\n\n{\"productId\":\"P\"}\n");
    let errors = many.json()["errors"].clone();
    assert_eq!((many.status, errors), (200, json!([{"line": 3, "reason": "newPrice is missing"}])));
    let dead = get(&engine, "/v1/dlq").json();
    assert_eq!(dead["deadLetters"].as_array().unwrap().len(), 2);
    assert_eq!(dead["deadLetters"][0]["id"], "dlq/0/0");
    assert_eq!(get(&engine, "/v1/dlq/dlq/0/1").json(), dead["deadLetters"][1]);
    let first = get(&engine, "/v1/dlq?limit=1").json();
    assert_eq!(
        (&first["deadLetters"][0], first["next"].as_str()),
        (&dead["deadLetters"][0], Some("dlq/0/0"))
    );
    let rest = get(&engine, "/v1/dlq?limit=2&after=dlq/0/0").json();
    assert_eq!(rest, json!({"deadLetters": [dead["deadLetters"][1]], "next": null}));
    let replayed = post(&engine, "/v1/dlq/dlq/0/1/replay", "");
    assert_eq!((replayed.status, replayed.json()["replayed"].clone()), (200, json!("dlq/0/1")));
    assert_eq!(get(&engine, "/v1/dlq/dlq/0/1").status, 404);
}

#[test]
fn a_tombstone_forgets_the_price_and_keeps_the_watches() {
    let (_folder, home) = home("");
    let engine = home.start().unwrap();
    put(&engine, "/v1/watches", r#"{"productId":"P","userId":"u","priceWatchValue":9,"mode":"crossing"}"#);
    let price = r#"{"productId":"P","newPrice":8}"#;
    assert_eq!(post(&engine, "/v1/prices", price).json()["told"], 1);
    assert_eq!(post(&engine, "/v1/prices", price).json()["told"], 0);
    assert_eq!(delete(&engine, "/v1/prices/P").json()["forgotten"], 1);
    assert_eq!(post(&engine, "/v1/prices", price).json()["told"], 1);
}

#[test]
fn watches_are_written_listed_page_by_page_and_deleted() {
    let (_folder, home) = home("");
    let engine = home.start().unwrap();
    let lines: String = (1..=5)
        .map(|price| format!("{{\"productId\":\"P\",\"userId\":\"u\",\"priceWatchValue\":{price}}}\n"))
        .collect();
    let written = put(&engine, "/v1/watches", &format!("{lines}{{\"productId\":\"P\"}}\n")).json();
    assert_eq!((written["written"].clone(), written["errors"][0]["line"].clone()), (json!(5), json!(6)));
    let page = get(&engine, "/v1/watches?product=P&limit=3").json();
    assert_eq!(page["watches"].as_array().unwrap().len(), 3);
    let after = page["next"].as_str().unwrap().replace('"', "%22");
    let rest = get(&engine, &format!("/v1/watches?product=P&limit=3&after={after}")).json();
    assert_eq!(rest["watches"][0]["priceWatchValue"], 4);
    assert_eq!(rest["next"], json!(null));
    assert_eq!(delete(&engine, "/v1/watches?product=P&user=u&price=4.0").json()["deleted"], true);
    assert_eq!(delete(&engine, "/v1/watches?product=P&user=u&price=4").json()["deleted"], false);
}

#[test]
fn a_spent_watch_shows_the_price_above_which_it_is_armed_again() {
    let (_folder, home) = home("[rules]\nhysteresis = 0.05\nmode = \"crossing\"\n");
    let engine = home.start().unwrap();
    post(&engine, "/v1/prices", r#"{"productId":"P","newPrice":50}"#);
    let spent = put(&engine, "/v1/watches", r#"{"productId":"P","userId":"u","priceWatchValue":60}"#).json();
    assert_eq!(spent["armed"], false);
    assert_eq!((spent["currentPrice"].clone(), spent["rearmsAbove"].clone()), (json!(50), json!(63)));
    let armed = put(&engine, "/v1/watches", r#"{"productId":"P","userId":"u","priceWatchValue":40}"#).json();
    assert_eq!((armed["armed"].clone(), armed["rearmsAbove"].clone()), (json!(true), json!(null)));
}

#[test]
fn malformed_requests_are_answered_with_the_reason() {
    let (_folder, home) = home("");
    let engine = home.start().unwrap();
    for (answer, status, error) in [
        (put(&engine, "/v1/watches", "{}"), 400, "missing field `productId`"),
        (put(&engine, "/v1/watches", " "), 400, "the body is empty"),
        (get(&engine, "/v1/watches?prodct=1"), 400, "unknown field `prodct`"),
        (get(&engine, "/v1/watches?after=1"), 400, "after must be the `next` of the previous page"),
        (get(&engine, "/v1/watches?limit=0"), 400, "limit must be at least 1"),
        (get(&engine, "/v1/dlq/dlq/0/x"), 400, "the offset `x` is not a whole number"),
        (get(&engine, "/v1/dlq?after=7"), 400, "it has 1 of 3 parts; the id of a dead letter is"),
        (get(&engine, "/v1/dlq/dlq/0/7"), 404, "there is no dead letter dlq/0/7"),
        (post(&engine, "/v1/dlq/other/0/7/replay", ""), 404, "there is no dead letter other/0/7"),
        (get(&engine, "/nowhere"), 404, "unknown path /nowhere"),
        (put(&engine, "/v1/prices", "{}"), 405, "/v1/prices does not support the method PUT"),
        (post(&engine, "/v1/buckets/migrate", ""), 409, "no policy is staged"),
    ] {
        assert_eq!(answer.status, status, "{answer:?}");
        let report = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(report.starts_with(error), "{report}");
    }
}

#[test]
fn health_plugins_and_metrics_are_shown() {
    let (_folder, home) = home("");
    let engine = home.start().unwrap();
    post(&engine, "/v1/prices", r#"{"productId":"P","newPrice":1}"#);
    assert_eq!(get(&engine, "/livez").body, "alive\n");
    assert_eq!(get(&engine, "/readyz").json()["ready"], true);
    let plugins = get(&engine, "/v1/plugins").json();
    assert_eq!(plugins["plugins"][0]["name"], "channel-console");
    let metrics = get(&engine, "/metrics").body;
    for line in ["pricedrop_records_total 1\n", "pricedrop_input_offset 1\n"] {
        assert!(metrics.contains(line), "{metrics}");
    }
}
