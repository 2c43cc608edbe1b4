//! Tests of the routes for health, plugins, buckets and metrics.

use pricedrop_model::health::{Reason, Severity};
use serde_json::json;

use crate::rig::{refused, served};

fn reason(severity: Severity) -> Reason {
    Reason { part: "kafka".into(), severity, reason: "no broker answers".into() }
}

#[tokio::test]
async fn livez_says_that_the_process_answers() {
    let reply = served().await.get("/livez").await;
    assert_eq!((reply.status, reply.text.as_str()), (200, "alive\n"));
}

#[tokio::test]
async fn readyz_lists_the_reasons_and_fails_for_errors_only() {
    let served = served().await;
    assert_eq!(served.get("/readyz").await.ok(), json!({"ready": true, "reasons": []}));
    for (severity, status, name) in [(Severity::Warning, 200, "warning"), (Severity::Error, 503, "error")] {
        *served.fakes.reasons.lock().unwrap() = vec![reason(severity)];
        let reply = served.get("/readyz").await;
        let reasons = json!([{"part": "kafka", "severity": name, "reason": "no broker answers"}]);
        assert_eq!(reply.status, status);
        assert_eq!(reply.json(), json!({"ready": status == 200, "reasons": reasons}));
    }
}

#[tokio::test]
async fn metrics_come_in_the_format_that_is_accepted() {
    let served = served().await;
    let plain = served.get("/metrics").await;
    assert_eq!(plain.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(plain.text.contains("\npricedrop_drops_total 0\n"), "{}", plain.text);
    let head = ["host: localhost", "accept: application/openmetrics-text"];
    let open = served.ask_with(&head, "GET /metrics", "").await;
    assert!(open.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    assert!(open.text.ends_with("# EOF\n"), "{}", open.text);
}

#[tokio::test]
async fn plugins_and_buckets_are_listed_and_buckets_migrated_and_repaired() {
    let served = served().await;
    for (request, expected) in [
        ("GET /v1/plugins", json!({"plugins": [], "activePolicy": "range", "warnings": ["odd"]})),
        ("GET /v1/buckets", json!({"active": "range", "staged": null, "migration": null})),
        ("POST /v1/buckets/migrate", json!({"active": "steps"})),
        ("POST /v1/buckets/repair", json!({"repaired": 1, "watches": 7})),
        ("POST /v1/buckets/repair?product=P%201", json!({"repaired": 3, "watches": 7})),
    ] {
        assert_eq!(served.ask(request, "").await.ok(), expected, "{request}");
    }
}

#[tokio::test]
async fn a_migration_that_is_refused_is_answered_409() {
    let served = served().await;
    *served.fakes.refusal.lock().unwrap() = Some("no policy is staged".into());
    refused(
        &served,
        &[
            ("POST /v1/buckets/migrate", "", 409, "no policy is staged", ""),
            ("POST /v1/buckets/repair", "", 409, "no policy is staged", ""),
            (
                "POST /v1/buckets/repair?product=",
                "",
                400,
                "productId must have 1 to 256 bytes, not 0",
                "product",
            ),
        ],
    )
    .await;
}
