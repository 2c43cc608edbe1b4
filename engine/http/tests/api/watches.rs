//! Tests of `/v1/watches`: writing, listing and deleting watches.

use pricedrop_model::{Currency, Evaluated, Floor, Hysteresis, Mode, Price, ProductId, Rules, WallTime};
use serde_json::{Value, json};

use crate::rig::{NOW, Served, options, refused, serve, served};

fn watch(product: &str, price: f64, user: &str) -> Value {
    json!({"productId": product, "priceWatchValue": price, "userId": user})
}

async fn put(served: &Served, watches: &[Value]) -> Value {
    let lines: Vec<String> = watches.iter().map(Value::to_string).collect();
    served.ask("PUT /v1/watches", &lines.join("\n")).await.ok()
}

/// Stores a product's state after a drop to this price: crossing watches at or above it have fired.
fn priced(served: &Served, price: &str) {
    let price = Price::parse(price).unwrap();
    let (product, evaluated) = (ProductId::new("P").unwrap(), Evaluated { price, at: WallTime(NOW) });
    served.stores.set_price_and_floor(&product, Currency::USD, evaluated, Floor::Drop(price));
}

#[tokio::test]
async fn the_answer_to_a_single_watch_has_its_initial_state() {
    let served = served().await;
    let written = put(&served, &[watch("P", 80.0, "u")]).await;
    assert_eq!(
        written,
        json!({"written": 1, "updatedAt": NOW, "armed": true, "currentPrice": null, "reached": false})
    );
    priced(&served, "79.90");
    let written = put(&served, &[watch("P", 80.0, "u")]).await;
    assert_eq!((&written["armed"], &written["currentPrice"]), (&json!(true), &json!(79.9)));
    assert_eq!(written["reached"], json!(true));
    for (threshold, reached) in [(79.9, true), (79.89, false)] {
        assert_eq!(put(&served, &[watch("P", threshold, "u")]).await["reached"], json!(reached));
    }
}

#[tokio::test]
async fn the_answer_to_a_fired_crossing_watch_has_the_price_that_rearms_it() {
    let hysteresis = Hysteresis::new("0.05".parse().unwrap()).unwrap();
    let served = serve(options(), Rules { mode: Mode::Crossing, hysteresis, ..Rules::default() }).await;
    priced(&served, "79.90");
    let written = put(&served, &[watch("P", 80.0, "u")]).await;
    let state = json!({"armed": false, "currentPrice": 79.9, "reached": true, "rearmsAbove": 84});
    for (name, value) in state.as_object().unwrap() {
        assert_eq!(&written[name], value, "{name}");
    }
    let below = put(&served, &[watch("P", 70.0, "u")]).await;
    assert_eq!((&below["armed"], &below["rearmsAbove"]), (&json!(true), &json!(null)));
}

#[tokio::test]
async fn written_watches_are_listed_with_their_time() {
    let served = served().await;
    let once = json!({"productId": "P", "priceWatchValue": "80.50", "userId": "u", "mode": "once",
                      "currency": "EUR", "updatedAt": 1});
    put(&served, std::slice::from_ref(&once)).await;
    let listed = json!({"productId": "P", "priceWatchValue": 80.5, "userId": "u", "mode": "once",
                        "currency": "EUR", "updatedAt": NOW});
    let page = served.get("/v1/watches?product=P").await.ok();
    assert_eq!(page, json!({"watches": [listed], "next": null}));
    assert_eq!(served.get("/v1/watches?product=Q").await.ok(), json!({"watches": [], "next": null}));
}

#[tokio::test]
async fn valid_entries_are_written_and_invalid_ones_listed() {
    let served = served().await;
    let watches = [watch("P", 80.0, "u"), watch("P", -1.0, "v"), json!(7)];
    let written = put(&served, &watches).await;
    let expected = "invalid type: integer `7`, expected struct WatchBody";
    let errors = json!([{"line": 2, "reason": "below zero"}, {"line": 3, "reason": expected}]);
    assert_eq!(written, json!({"written": 1, "updatedAt": NOW, "errors": errors}));
}

#[tokio::test]
async fn a_wrong_watch_page_or_key_is_answered_400() {
    let twice = r#"{"productId":"P","userId":"u","priceWatchValue":1,"mode":"twice"}"#;
    let modes = "mode must be every-drop, crossing or once, not \"twice\"";
    let name = "productId must have 1 to 256 bytes, not 0";
    refused(
        &served().await,
        &[
            ("PUT /v1/watches", twice, 400, modes, "the body"),
            ("PUT /v1/watches", "{}", 400, "missing field `productId`", "the body"),
            ("GET /v1/watches?product=", "", 400, name, "product"),
            ("DELETE /v1/watches?product=&user=u&price=1", "", 400, name, "product"),
            (
                "DELETE /v1/watches?product=P&user=&price=1",
                "",
                400,
                "userId must have 1 to 256 bytes, not 0",
                "user",
            ),
            ("DELETE /v1/watches?product=P&user=u&price=-1", "", 400, "below zero", "price"),
            ("DELETE /v1/watches?product=P&user=u", "", 400, "missing field `price`", "the query"),
        ],
    )
    .await;
}

#[tokio::test]
async fn pages_follow_each_other_in_order_to_the_end() {
    let served = served().await;
    let spelt = [("b", 1.0, "u"), ("a", 20.0, "v"), ("a", 3.0, "u"), ("a", 20.0, "u")];
    put(&served, &spelt.map(|(product, price, user)| watch(product, price, user))).await;
    let first = served.get("/v1/watches").await.ok();
    let keys = |page: &Value| -> Vec<Value> {
        let watches = page["watches"].as_array().unwrap().iter();
        watches.map(|watch| json!([watch["productId"], watch["priceWatchValue"], watch["userId"]])).collect()
    };
    assert_eq!(keys(&first), [json!(["a", 3, "u"]), json!(["a", 20, "u"]), json!(["a", 20, "v"])]);
    assert_eq!(first["next"], r#"["a",20,"v"]"#);
    let second = served.get("/v1/watches?after=%5B%22a%22,20,%22v%22%5D").await.ok();
    assert_eq!((keys(&second), &second["next"]), (vec![json!(["b", 1, "u"])], &json!(null)));
    assert_eq!(served.get("/v1/watches?limit=1").await.ok()["watches"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_watch_is_deleted_by_its_key_exactly_once() {
    let served = served().await;
    put(&served, &[watch("P 1", 80.0, "u")]).await;
    let request = "DELETE /v1/watches?product=P%201&user=u&price=80.00";
    assert_eq!(served.ask(request, "").await.ok(), json!({"deleted": true}));
    assert_eq!(served.ask(request, "").await.ok(), json!({"deleted": false}));
}
