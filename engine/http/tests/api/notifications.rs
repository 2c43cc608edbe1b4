//! Tests of `/v1/notifications`: pages of lines, offsets, partitions.

use crate::rig::{refused, served};

#[tokio::test]
async fn a_page_has_a_notification_per_line_and_the_next_offset_in_a_header() {
    let served = served().await;
    let line = |partition: i32, at: i64| format!("{{\"partition\":{partition},\"at\":{at}}}\n");
    for (query, lines, next) in [
        ("", line(0, 0) + &line(0, 1), "2"),
        ("?limit=1", line(0, 0), "1"),
        ("?partition=2&from=1", line(2, 1), "2"),
        ("?from=2", String::new(), "2"),
    ] {
        let reply = served.get(&format!("/v1/notifications{query}")).await;
        assert_eq!((reply.status, reply.text.as_str()), (200, lines.as_str()), "{query}");
        assert_eq!(reply.header("content-type"), Some("application/x-ndjson"));
        assert_eq!(reply.header("pricedrop-next-offset"), Some(next), "{query}");
        assert_eq!(reply.header("pricedrop-partitions"), Some("3"));
    }
}

#[tokio::test]
async fn an_unknown_offset_or_partition_is_refused() {
    let there = "there are partitions 0 to 2";
    refused(
        &served().await,
        &[
            ("GET /v1/notifications?from=-1", "", 400, "from must be 0 or more", "from"),
            ("GET /v1/notifications?partition=3", "", 400, there, "partition"),
            ("GET /v1/notifications?partition=-1", "", 400, there, "partition"),
        ],
    )
    .await;
}
