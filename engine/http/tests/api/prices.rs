//! Tests of `/v1/prices`: posting updates, and reading current prices.

use pricedrop_model::intake::{IntakeError, NewRecord, Posted};
use pricedrop_model::ports::Outcome;
use pricedrop_model::{Currency, Evaluated, Floor, Partition, Position, Price, ProductId, WallTime};
use serde_json::{Value, json};

use crate::rig::{NOW, Served, refused, served};

fn at(offset: i64) -> Position {
    Position { partition: Partition(0), offset }
}

fn decided(offset: i64, outcome: Outcome) -> Posted {
    Posted::Decided(at(offset), outcome)
}

fn answer(served: &Served, answer: Result<Vec<Posted>, IntakeError>) {
    served.fakes.posts.lock().unwrap().push_back(answer);
}

fn posted(served: &Served) -> Vec<(Vec<NewRecord>, Option<i64>)> {
    std::mem::take(&mut *served.fakes.posted.lock().unwrap())
}

fn update(json: &str) -> NewRecord {
    NewRecord { key: None, value: Some(json.to_owned().into()) }
}

/// Returns the counters of a summary that are not 0, and its other members.
fn counted(summary: Value) -> Value {
    let Value::Object(mut summary) = summary else { panic!("{summary}") };
    summary.retain(|name, count| *count != json!(0) || name == "offset");
    Value::Object(summary)
}

#[tokio::test]
async fn every_outcome_of_a_post_is_counted() {
    let served = served().await;
    answer(
        &served,
        Ok(vec![
            decided(40, Outcome::Drop { told: 17, told_before: true }),
            decided(41, Outcome::NotLower),
            decided(42, Outcome::Stale),
            Posted::Already(at(43)),
        ]),
    );
    let summary = counted(served.ask("POST /v1/prices", "[1,2,3,4]").await.ok());
    let expected = json!({"records": 4, "evaluated": 2, "drops": 1, "told": 17, "deduplicated": 1,
                          "stale": 1, "already": 1, "offset": 40, "next": 44});
    assert_eq!(summary, expected);
    answer(
        &served,
        Ok(vec![decided(0, Outcome::Held), decided(1, Outcome::Skipped), decided(2, Outcome::Tombstone)]),
    );
    let summary = counted(served.ask("POST /v1/prices", "[1,2,3]").await.ok());
    let expected = json!({"records": 3, "held": 1, "skipped": 1, "forgotten": 1, "offset": 0, "next": 3});
    assert_eq!(summary, expected);
}

#[tokio::test]
async fn entries_reach_the_input_as_they_were_posted() {
    let served = served().await;
    for (body, records) in [
        ("{\"a\": 1}", vec![update("{\"a\": 1}")]),
        ("[{\"a\":1}, nonsense]", vec![update("[{\"a\":1}, nonsense]")]),
        ("{\"a\":1}\n\nnonsense\n", vec![update("{\"a\":1}"), update("nonsense")]),
    ] {
        answer(&served, Ok(vec![decided(0, Outcome::NotLower)]));
        served.ask("POST /v1/prices?offset=7", body).await.ok();
        assert_eq!(posted(&served), [(records, Some(7))]);
    }
}

#[tokio::test]
async fn entries_are_taken_however_they_are_separated() {
    let served = served().await;
    let price = |product: &str| format!("{{\"productId\":\"{product}\",\n \"newPrice\":7}}");
    for (body, values) in [
        (format!("{}{}", price("A"), price("B")), vec![price("A"), price("B")]),
        (format!("\u{feff}{}\nx\n{}", price("A"), price("B")), vec![price("A"), "x".into(), price("B")]),
        (format!("\u{1e}{}\n\u{1e}{}\n", price("A"), price("B")), vec![price("A"), price("B")]),
        (format!("[{}]\n[{}]", price("A"), price("B")), vec![price("A"), price("B")]),
    ] {
        answer(&served, Ok(vec![decided(0, Outcome::NotLower)]));
        served.ask("POST /v1/prices", &body).await.ok();
        let records: Vec<NewRecord> = values.iter().map(|value| update(value)).collect();
        assert_eq!(posted(&served), [(records, None)], "{body:?}");
    }
}

#[tokio::test]
async fn invalid_updates_are_listed_by_line() {
    let served = served().await;
    let dead = decided(1, Outcome::Dead("newPrice is missing".into()));
    answer(&served, Ok(vec![decided(0, Outcome::NotLower), dead]));
    let summary = served.ask("POST /v1/prices", "{}\n\n{}").await.ok();
    assert_eq!((&summary["dead"], &summary["records"]), (&json!(1), &json!(2)));
    assert_eq!(summary["errors"], json!([{"line": 3, "reason": "newPrice is missing"}]));
}

#[tokio::test]
async fn a_single_bad_update_is_answered_400() {
    let served = served().await;
    answer(&served, Ok(vec![decided(0, Outcome::Dead("newPrice is missing".into()))]));
    let reply = served.ask("POST /v1/prices", "{}").await;
    assert_eq!(reply.problem(), (400, "newPrice is missing".into(), Some("the body".into())));
    assert!(reply.remedy().contains("pricedrop dlq list"), "{}", reply.remedy());
}

#[tokio::test]
async fn updates_that_another_instance_decides_are_counted_as_queued_without_offset() {
    let served = served().await;
    answer(&served, Ok(vec![Posted::Queued(at(3)), Posted::Queued(at(9))]));
    let summary = counted(served.ask("POST /v1/prices", "{}\n{}").await.ok());
    assert_eq!(summary, json!({"records": 2, "queued": 2}));
}

#[tokio::test]
async fn a_failed_post_is_answered_with_its_reason() {
    let served = served().await;
    for (error, status, place, remedy) in [
        (IntakeError::Gap { next: 5 }, 409, Some("offset"), "continue at offset 5"),
        (IntakeError::NotTaken("full".into()), 503, None, "no record was accepted: send the request again"),
        (IntakeError::Unknown("late".into()), 503, None, "send the request again with ?offset="),
        (
            IntakeError::Partly("lost".into()),
            503,
            None,
            "send the request again: no user is notified twice if",
        ),
        (IntakeError::NoOffset("many partitions".into()), 400, Some("offset"), "omit ?offset="),
    ] {
        answer(&served, Err(error.clone()));
        let reply = served.ask("POST /v1/prices", "{}").await;
        assert_eq!(reply.problem(), (status, error.to_string(), place.map(str::to_owned)));
        assert!(reply.remedy().starts_with(remedy), "{}", reply.remedy());
        assert_eq!(reply.header("retry-after"), (status == 503).then_some("1"), "{error}");
    }
}

#[tokio::test]
async fn a_forgotten_product_is_posted_as_a_tombstone() {
    let served = served().await;
    answer(&served, Ok(vec![decided(8, Outcome::Tombstone)]));
    let summary = counted(served.ask("DELETE /v1/prices/P%201?offset=8", "").await.ok());
    assert_eq!(summary, json!({"records": 1, "forgotten": 1, "offset": 8, "next": 9}));
    let tombstone = NewRecord { key: Some("P 1".into()), value: None };
    assert_eq!(posted(&served), [(vec![tombstone], Some(8))]);
}

#[tokio::test]
async fn the_current_price_is_of_one_currency() {
    let served = served().await;
    let evaluated = Evaluated { price: Price::parse("79.90").unwrap(), at: WallTime(NOW) };
    served.stores.set_price(&ProductId::new("P").unwrap(), Currency::USD, evaluated);
    let expected =
        json!({"productId": "P", "currency": "USD", "price": 79.9, "evaluatedAt": NOW, "floor": null});
    assert_eq!(served.get("/v1/prices/P").await.ok(), expected);
    assert_eq!(served.get("/v1/prices/P?currency=USD").await.ok(), expected);
    for (floor, shown) in [(Floor::Drop(evaluated.price), "drop"), (Floor::Rise(evaluated.price), "rise")] {
        let product = ProductId::new("P").unwrap();
        served.stores.set_price_and_floor(&product, Currency::USD, evaluated, floor);
        assert_eq!(served.get("/v1/prices/P").await.ok()["floor"], json!({shown: 79.9}));
    }
    let capitals = "currency must be three capital letters, such as EUR";
    refused(
        &served,
        &[
            ("GET /v1/prices/P?currency=EUR", "", 404, "no price of P in EUR was evaluated yet", ""),
            ("GET /v1/prices/Q", "", 404, "no price of Q in USD was evaluated yet", ""),
            ("GET /v1/prices/P?currency=eur", "", 400, capitals, "currency"),
        ],
    )
    .await;
}

#[tokio::test]
async fn an_invalid_offset_or_product_is_refused() {
    let served = served().await;
    let long = "x".repeat(257);
    let length = "productId must have 1 to 256 bytes, not 257";
    refused(
        &served,
        &[
            ("POST /v1/prices?offset=-1", "{}", 400, "offset must be 0 or more", "offset"),
            ("DELETE /v1/prices/P?offset=-1", "", 400, "offset must be 0 or more", "offset"),
            ("POST /v1/prices?offest=1", "{}", 400, "unknown field `offest`, expected `offset`", "the query"),
            (&format!("DELETE /v1/prices/{long}"), "", 400, length, "the path"),
            (&format!("GET /v1/prices/{long}"), "", 400, length, "the path"),
        ],
    )
    .await;
    assert_eq!(posted(&served), []);
}
