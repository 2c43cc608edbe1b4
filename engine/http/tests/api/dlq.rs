//! Tests of `/v1/dlq`: listing, showing and replaying dead letters.

use pricedrop_model::WallTime;
use pricedrop_model::dispatch::{DeadLetters as _, DeadWhat, NewDeadLetter, Retry};
use pricedrop_model::intake::{NewRecord, Posted};
use pricedrop_model::ports::Outcome;
use pricedrop_model::{Partition, Position};
use pricedrop_testing::conformance::retries::retry;
use serde_json::json;

use crate::rig::{NOW, Served, refused, served};

fn update(value: &str, truncated: Option<u64>) -> DeadWhat {
    DeadWhat::Update { partition: 0, offset: 4, key: None, value: Some(value.into()), truncated }
}

fn notification() -> DeadWhat {
    DeadWhat::Notification { partition: 0, offset: 4, key: None, value: None, truncated: None }
}

fn delivery() -> DeadWhat {
    DeadWhat::Delivery { retry: Box::new(retry("key", "mail", 1)), plugin: "mail@1".into() }
}

/// Serves an API with these dead letters, whose ids start at `dlq/0/0`.
async fn with(dead: impl IntoIterator<Item = DeadWhat>) -> Served {
    let served = served().await;
    let letter = |what| NewDeadLetter { at: WallTime(9), reason: "no".into(), what };
    served.stores.add(dead.into_iter().map(letter).collect()).await.unwrap();
    served
}

#[tokio::test]
async fn dead_letters_are_listed_in_pages_and_shown_by_id() {
    let served = with((0..4).map(|number| update(&format!("update {number}"), None))).await;
    let page = served.get("/v1/dlq").await.ok();
    assert_eq!(page["deadLetters"].as_array().unwrap().len(), 3);
    assert_eq!(page["next"], "dlq/0/2");
    let expected = json!({"id": "dlq/0/3", "at": 9, "reason": "no", "what": {"update":
        {"partition": 0, "offset": 4, "key": null, "value": "update 3", "truncated": null}}});
    let last = served.get("/v1/dlq?after=dlq/0/2").await.ok();
    assert_eq!(last, json!({"deadLetters": [expected], "next": null}));
    assert_eq!(served.get("/v1/dlq/dlq/0/3").await.ok(), expected);
}

#[tokio::test]
async fn an_unknown_dead_letter_is_answered_404() {
    refused(
        &served().await,
        &[
            ("GET /v1/dlq/dlq/0/7", "", 404, "there is no dead letter dlq/0/7", ""),
            ("POST /v1/dlq/dlq/0/7/replay", "", 404, "there is no dead letter dlq/0/7", ""),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_replayed_update_is_posted_again_and_leaves_the_list() {
    let position = Position { partition: Partition(2), offset: 9 };
    for (posted, outcome) in [
        (
            Posted::Decided(position, Outcome::Drop { told: 3, told_before: false }),
            "the update is a drop; 3 users are notified",
        ),
        (Posted::Decided(position, Outcome::NotLower), "the update is accepted and is no drop"),
        (
            Posted::Decided(position, Outcome::Dead("odd".into())),
            "the record is still invalid and became a new dead letter: odd",
        ),
        (Posted::Queued(position), "written at offset 9 of partition 2"),
        (Posted::Already(position), "the update is accepted"),
    ] {
        let served = with([update("{}", None)]).await;
        served.fakes.posts.lock().unwrap().push_back(Ok(vec![posted]));
        let replayed = served.ask("POST /v1/dlq/dlq/0/0/replay", "").await.ok();
        assert_eq!(replayed, json!({"replayed": "dlq/0/0", "outcome": outcome}));
        let record = NewRecord { key: None, value: Some("{}".into()) };
        assert_eq!(*served.fakes.posted.lock().unwrap(), [(vec![record], None)]);
        assert_eq!(served.stores.dead(), []);
    }
}

#[tokio::test]
async fn a_replayed_delivery_starts_at_its_first_attempt() {
    let served = with([delivery()]).await;
    let replayed = served.ask("POST /v1/dlq/dlq/0/0/replay", "").await.ok();
    assert_eq!(replayed, json!({"replayed": "dlq/0/0", "outcome": "queued for u on mail"}));
    let now = WallTime(NOW);
    assert_eq!(
        served.stores.retries(),
        [Retry { due: now, since: now, attempt: 1, ..retry("key", "mail", 1) }]
    );
    assert_eq!(served.stores.dead(), []);
}

#[tokio::test]
async fn a_dead_letter_that_cannot_be_replayed_is_answered_409_and_kept() {
    let served = with([notification(), update("begin", Some(9_999))]).await;
    let cut = "the update had 9999 bytes, of which only the first part was stored";
    refused(
        &served,
        &[
            (
                "POST /v1/dlq/dlq/0/0/replay",
                "",
                409,
                "the record is not a valid notification, so there is nothing to send",
                "",
            ),
            ("POST /v1/dlq/dlq/0/1/replay", "", 409, cut, ""),
        ],
    )
    .await;
    assert_eq!(served.stores.dead().len(), 2);
}
