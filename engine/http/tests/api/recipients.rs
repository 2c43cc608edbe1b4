//! Tests of `/v1/recipients`: writing, listing and deleting addresses.

use serde_json::json;

use crate::rig::{Served, refused, served};

fn recipient(user: &str, channel: &str, address: &str) -> String {
    json!({"userId": user, "channel": channel, "address": address}).to_string()
}

async fn put(served: &Served, lines: &[String]) -> serde_json::Value {
    served.ask("PUT /v1/recipients", &lines.join("\n")).await.ok()
}

#[tokio::test]
async fn addresses_are_written_in_their_canonical_form() {
    let served = served().await;
    let written = put(&served, &[recipient("u", "mail", "A@B.example"), recipient("u", "sms", "+1 X")]).await;
    assert_eq!(written, json!({"written": 2}));
    let mail = json!({"userId": "u", "channel": "mail", "address": "a@b.example"});
    let sms = json!({"userId": "u", "channel": "sms", "address": "+1 X"});
    let of_user = served.get("/v1/recipients?user=u").await.ok();
    assert_eq!(of_user, json!({"recipients": [mail, sms], "next": null}));
    assert_eq!(served.get("/v1/recipients?user=v").await.ok(), json!({"recipients": [], "next": null}));
}

#[tokio::test]
async fn valid_entries_are_written_and_invalid_ones_listed() {
    let served = served().await;
    let lines = [recipient("u", "mail", "nowhere"), recipient("u", "mail", "a@b"), "{}".into()];
    let errors = json!([
        {"line": 1, "reason": "address of mail: it has no @"},
        {"line": 3, "reason": "missing field `userId`"},
    ]);
    assert_eq!(put(&served, &lines).await, json!({"written": 1, "errors": errors}));
}

#[tokio::test]
async fn a_single_wrong_recipient_is_answered_400() {
    let long = "channel must have 1 to 2048 bytes, not 0";
    refused(
        &served().await,
        &[
            ("PUT /v1/recipients", "nonsense", 400, "expected ident", "the body"),
            ("PUT /v1/recipients", "{}", 400, "missing field `userId`", "the body"),
            ("PUT /v1/recipients", &recipient("u", "", "a@b"), 400, long, "the body"),
            (
                "PUT /v1/recipients",
                &recipient("u", "mail", "x"),
                400,
                "address of mail: it has no @",
                "the body",
            ),
            ("GET /v1/recipients?user=", "", 400, "userId must have 1 to 256 bytes, not 0", "user"),
            (
                "DELETE /v1/recipients?user=&channel=c&address=a",
                "",
                400,
                "userId must have 1 to 256 bytes, not 0",
                "user",
            ),
            ("DELETE /v1/recipients?user=u", "", 400, "missing field `channel`", "the query"),
        ],
    )
    .await;
}

#[tokio::test]
async fn pages_of_all_recipients_follow_each_other_to_the_end() {
    let served = served().await;
    put(&served, &["a", "b", "c", "d"].map(|user| recipient(user, "sms", "1"))).await;
    let mut page = served.get("/v1/recipients").await.ok();
    assert_eq!(page["recipients"].as_array().unwrap().len(), 3, "a page of page_entries");
    assert_eq!(page["next"], r#"["c","sms","1"]"#);
    page = served.get("/v1/recipients?after=%5B%22c%22,%22sms%22,%221%22%5D").await.ok();
    assert_eq!((&page["recipients"][0]["userId"], &page["next"]), (&json!("d"), &json!(null)));
}

#[tokio::test]
async fn an_address_is_deleted_in_any_spelling_exactly_once() {
    let served = served().await;
    put(&served, &[recipient("u", "mail", "a@b")]).await;
    let request = "DELETE /v1/recipients?user=u&channel=mail&address=A@B";
    assert_eq!(served.ask(request, "").await.ok(), json!({"deleted": true}));
    assert_eq!(served.ask(request, "").await.ok(), json!({"deleted": false}));
}
