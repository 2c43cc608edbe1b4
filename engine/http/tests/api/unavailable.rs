//! Tests the responses of the API while a port is unavailable.

use pricedrop_model::WallTime;
use pricedrop_model::dispatch::{DeadLetters as _, DeadWhat, NewDeadLetter};
use pricedrop_testing::conformance::retries::retry;

use crate::rig::served;

const WATCH: &str = r#"{"productId":"P","priceWatchValue":1,"userId":"u"}"#;
const RECIPIENT: &str = r#"{"userId":"u","channel":"sms","address":"1"}"#;

/// Every route that calls a port, except posts of prices, which `prices.rs` tests.
const ASKING: [(&str, &str); 16] = [
    ("GET /v1/prices/P", ""),
    ("PUT /v1/watches", WATCH),
    ("GET /v1/watches", ""),
    ("DELETE /v1/watches?product=P&user=u&price=1", ""),
    ("PUT /v1/recipients", RECIPIENT),
    ("GET /v1/recipients", ""),
    ("GET /v1/recipients?user=u", ""),
    ("DELETE /v1/recipients?user=u&channel=sms&address=1", ""),
    ("GET /v1/notifications", ""),
    ("GET /v1/dlq", ""),
    ("GET /v1/dlq/dlq/0/0", ""),
    ("POST /v1/dlq/dlq/0/0/replay", ""),
    ("GET /v1/buckets", ""),
    ("POST /v1/buckets/migrate", ""),
    ("POST /v1/buckets/repair", ""),
    ("POST /v1/buckets/repair?product=P", ""),
];

#[tokio::test]
async fn an_unavailable_store_is_answered_503_and_the_request_may_be_repeated() {
    let served = served().await;
    let what = DeadWhat::Delivery { retry: Box::new(retry("key", "sms", 1)), plugin: "sms@1".into() };
    let letter = NewDeadLetter { at: WallTime(1), reason: "no".into(), what };
    served.stores.add(vec![letter]).await.unwrap();
    served.stores.set_price(
        &pricedrop_model::ProductId::new("P").unwrap(),
        pricedrop_model::Currency::USD,
        pricedrop_model::Evaluated { price: pricedrop_model::Price::parse("2").unwrap(), at: WallTime(1) },
    );
    served.set_away(true);
    for (request, body) in ASKING {
        let reply = served.ask(request, body).await;
        assert_eq!(reply.problem(), (503, "away, as the test wishes".into(), None), "{request}");
        assert_eq!(reply.remedy(), "send the request again", "{request}");
        assert_eq!(reply.header("retry-after"), Some("1"), "{request}");
    }
    served.set_away(false);
    for (request, body) in ASKING {
        let reply = served.ask(request, body).await;
        assert_eq!(reply.status, 200, "{request}: {}", reply.text);
    }
}

#[tokio::test]
async fn health_is_answered_while_every_store_is_unavailable() {
    let served = served().await;
    served.set_away(true);
    for path in ["/livez", "/readyz", "/metrics", "/v1/plugins"] {
        assert_eq!(served.get(path).await.status, 200, "{path}");
    }
}
