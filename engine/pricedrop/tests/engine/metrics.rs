//! `/metrics`, checked as scrapers read it.

use std::io::Write as _;
use std::process::{Command, Stdio};

use pricedrop_harness::{Engine, repository, wait_for};

use crate::support::{ask, get, home, post, put};

/// Returns the metrics of an engine after one delivery.
fn of_a_delivery(engine: &Engine) -> String {
    let address = r#"{"userId":"u1","channel":"channel-console","address":"u1"}"#;
    assert_eq!(put(engine, "/v1/recipients", address).status, 200);
    put(engine, "/v1/watches", r#"{"productId":"P","userId":"u1","priceWatchValue":80}"#);
    assert_eq!(post(engine, "/v1/prices", r#"{"productId":"P","newPrice":70}"#).json()["told"], 1);
    let delivered = r#"pricedrop_deliveries_total{channel="channel-console",outcome="delivered"} 1"#;
    wait_for("the delivery", || {
        let metrics = get(engine, "/metrics").body;
        metrics.contains(delivered).then_some(metrics)
    })
    .unwrap()
}

#[test]
fn metrics_hold_what_promtool_checks() {
    let (_folder, home) = home("");
    let engine = home.start().unwrap();
    let metrics = of_a_delivery(&engine);
    let promtool = repository().join("dev/peers/promtool");
    let mut check = Command::new(promtool);
    check.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut check = check.spawn().unwrap();
    check.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let report = check.wait_with_output().unwrap();
    let text = [report.stdout, report.stderr].map(|out| String::from_utf8_lossy(&out).into_owned()).concat();
    assert!(report.status.success(), "{text}\n{metrics}");
    assert_eq!(text, "", "{metrics}");
}

#[test]
fn durations_are_histograms() {
    let (_folder, home) = home("");
    let engine = home.start().unwrap();
    let metrics = of_a_delivery(&engine);
    for (name, labels) in [
        ("commit_seconds", ""),
        ("update_to_commit_seconds", ""),
        ("delivery_attempt_seconds", r#"{channel="channel-console"}"#),
        ("plugin_call_seconds", r#"{plugin="channel-console"}"#),
    ] {
        assert!(metrics.contains(&format!("# TYPE pricedrop_{name} histogram\n")), "{name}: {metrics}");
        let begin = format!("pricedrop_{name}_count{labels} ");
        let count = metrics.lines().find_map(|line| line.strip_prefix(&begin));
        assert!(count.is_some_and(|count| count != "0"), "{name}: {metrics}");
    }
}

#[test]
fn a_scraper_chooses_the_format() {
    let (_folder, home) = home("");
    let engine = home.start().unwrap();
    let accept = "Accept: application/openmetrics-text; version=1.0.0\r\n";
    let open = ask(&engine, "GET", "/metrics", accept, "");
    assert!(open.head.contains("content-type: application/openmetrics-text"), "{}", open.head);
    assert!(open.body.contains("# TYPE pricedrop_records counter\n"), "{}", open.body);
    assert!(open.body.ends_with("# EOF\n"), "{}", open.body);
    let plain = get(&engine, "/metrics");
    assert!(plain.head.contains("content-type: text/plain; version=0.0.4"), "{}", plain.head);
    assert!(plain.body.contains("# TYPE pricedrop_records_total counter\n"), "{}", plain.body);
}
