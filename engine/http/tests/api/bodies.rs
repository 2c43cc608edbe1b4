//! Bodies, queries and paths that every route refuses.

use std::time::Duration;

use pricedrop_http::Options;
use pricedrop_model::Rules;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::rig::{options, refused, serve, served};

/// Routes that take a body of entries.
const WRITES: [&str; 3] = ["POST /v1/prices", "PUT /v1/watches", "PUT /v1/recipients"];

#[tokio::test]
async fn an_unknown_path_and_a_wrong_method_are_answered_with_a_problem() {
    let served = served().await;
    refused(
        &served,
        &[
            ("GET /", "", 404, "unknown path /", ""),
            ("GET /v2/prices", "", 404, "unknown path /v2/prices", ""),
            ("GET /v1/prices/P/x", "", 404, "unknown path /v1/prices/P/x", ""),
            ("GET /v1/prices", "", 405, "/v1/prices does not support the method GET", ""),
            ("POST /v1/watches", "", 405, "/v1/watches does not support the method POST", ""),
            ("DELETE /v1/dlq/dlq/0/1", "", 405, "/v1/dlq/dlq/0/1 does not support the method DELETE", ""),
            ("PUT /livez", "", 405, "/livez does not support the method PUT", ""),
        ],
    )
    .await;
    assert_eq!(served.get("/v2").await.remedy(), "docs/http.md lists all paths");
    assert_eq!(served.get("/v1/prices").await.remedy(), "docs/http.md lists the methods of each path");
}

#[tokio::test]
async fn a_body_that_exceeds_a_limit_is_refused_as_a_whole() {
    let served = served().await;
    let (long, many) = ("x".repeat(401), "{}\n".repeat(5));
    for route in WRITES {
        let too_long = served.ask(route, &long).await;
        assert_eq!(too_long.problem(), (413, "the body is longer than 400 bytes".into(), None));
        assert_eq!(too_long.remedy(), "send the body in parts, or raise http.max_body");
        let too_many = served.ask(route, &many).await;
        assert_eq!(too_many.problem(), (413, "the body has more than 4 entries".into(), None));
        assert_eq!(
            too_many.remedy(),
            "no entry was accepted: send the body in parts, or raise http.body_entries"
        );
    }
    assert!(served.fakes.posted.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_empty_body_is_refused() {
    let served = served().await;
    for route in WRITES {
        refused(&served, &[(route, " \n", 400, "the body is empty", "")]).await;
    }
}

#[tokio::test]
async fn a_body_that_does_not_arrive_in_time_is_refused() {
    let hasty = Options { body_timeout: Duration::from_millis(50), ..options() };
    let served = serve(hasty, Rules::default()).await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let head =
        "POST /v1/prices HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 9\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains(r#""error":"the body did not arrive within 50ms""#), "{answer}");
}

#[tokio::test]
async fn an_invalid_query_or_path_is_answered_with_its_place() {
    let served = served().await;
    let form = "; the id of a dead letter is topic/partition/offset, such as price_updates.dlq/3/1881";
    let partition = format!("the partition `x` is not a whole number from 0 to {}{form}", i32::MAX);
    let offset = format!("the offset `-1` is not a whole number from 0 to {}{form}", i64::MAX);
    refused(
        &served,
        &[
            ("GET /v1/watches?limit=0", "", 400, "limit must be at least 1", "limit"),
            ("GET /v1/recipients?limit=0", "", 400, "limit must be at least 1", "limit"),
            ("GET /v1/dlq?limit=0", "", 400, "limit must be at least 1", "limit"),
            ("GET /v1/watches?limit=x", "", 400, "invalid digit found in string", "the query"),
            ("GET /v1/watches?after=x", "", 400, "after must be the `next` of the previous page", "after"),
            ("GET /v1/recipients?after=1", "", 400, "after must be the `next` of the previous page", "after"),
            (
                "GET /v1/notifications?form=1",
                "",
                400,
                "unknown field `form`, expected one of `partition`, `from`, `limit`",
                "the query",
            ),
            ("GET /v1/dlq/dlq/x/0", "", 400, &partition, "the path"),
            ("POST /v1/dlq/dlq/0/-1/replay", "", 400, &offset, "the path"),
        ],
    )
    .await;
}
