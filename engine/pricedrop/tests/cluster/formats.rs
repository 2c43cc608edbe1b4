//! States in the format of a newer release: an older engine refuses them and changes nothing.

use std::time::Duration;

use pricedrop_harness::kafka::{Committed, Kafka};
use pricedrop_harness::wait_for;

use crate::support::{Setting, run_cli};

/// Returns the records of a topic, without the markers that every acquisition writes.
fn records(kafka: &Kafka, topic: &str) -> Vec<Committed> {
    let mut all = kafka.follow(topic).unwrap().read(Duration::from_secs(3));
    all.retain(|one| one.key.as_deref() != Some("\0marker"));
    // Partitions arrive in any order, the records of each in offset order.
    all.sort_by_key(|one| one.partition);
    all
}

#[test]
fn states_begin_with_their_format_and_a_newer_format_is_refused_and_not_changed() {
    let setting = Setting::new().prepared();
    let (_folder, home) = setting.home();
    let kafka = Kafka { bootstrap: setting.kafka.clone() };
    let (prices, notifications) = (format!("{}.prices", setting.name), format!("{}.told", setting.name));
    {
        let mut engine = home.start().unwrap();
        home.run(&["watch", "add", "P", "100", "u1"]).unwrap();
        engine.request("POST", "/v1/prices", br#"{"productId":"P","newPrice":50}"#).unwrap();
        wait_for("the notification", || {
            let listed = home.run(&["notifications", "list", "--json"]).unwrap().stdout;
            (!listed.is_empty()).then_some(())
        })
        .unwrap();
        engine.signal("TERM").unwrap();
        engine.wait().unwrap();
    }
    let state = |key: &str| {
        let of = records(&kafka, &setting.state).into_iter();
        of.filter(|one| one.key.as_deref() == Some(key)).filter_map(|one| one.value).next_back().unwrap()
    };
    let first = state("USDP");
    assert_eq!(first.as_bytes()[0], 1, "the format of this release: {first:?}");

    // A newer release evaluated a product, and an older instance starts again.
    let producer = kafka.producer().unwrap();
    producer.send(&setting.state, "USDQ", "\u{2}something newer").unwrap();
    producer.flush().unwrap();
    let outside = kafka.producer().unwrap();
    outside.send(&prices, "P", r#"{"productId":"P","newPrice":40}"#).unwrap();
    outside.flush().unwrap();
    let (states, told_before) = (records(&kafka, &setting.state), records(&kafka, &notifications));
    let lag = kafka.lag("pricedrop", &prices).unwrap();
    // Reports are wrapped into lines.
    let report = run_cli(&setting, &home, &["run"]);
    let report =
        report.split_whitespace().filter(|word| !matches!(*word, "│" | "|")).collect::<Vec<_>>().join(" ");
    assert!(report.contains("exit code 1"), "{report}");
    assert!(report.contains("state format 2 is newer than 1"), "{report}");
    assert!(report.contains("run the release that wrote it, or a later one"), "{report}");
    assert!(report.contains("NAME.state"), "the topic is named: {report}");
    assert_eq!(records(&kafka, &setting.state), states, "no state and no position was written");
    assert_eq!(records(&kafka, &notifications), told_before, "nobody was told");
    assert_eq!(kafka.lag("pricedrop", &prices).unwrap(), lag, "no offset moved");

    // The way back that the documents describe.
    let state = format!("{}.state2", setting.name);
    let back = Setting { state, ..setting.with("[rules]\nfirst_price = \"baseline\"\n") }.prepared();
    let (_folder, home) = back.home();
    let engine = home.launch().unwrap();
    wait_for("both partitions to wait for a person", || {
        let reasons = engine.reasons().ok()?.join("\n");
        ["[0]: the group is at", "[1]: the group is at"].iter().all(|why| reasons.contains(why)).then_some(())
    })
    .unwrap();
    home.run(&["offsets", "set"]).unwrap();
    wait_for("the price that waited to be read", || {
        (kafka.lag("pricedrop", &prices).ok()? == 0).then_some(())
    })
    .unwrap();
    assert_eq!(records(&kafka, &notifications), told_before, "a first price is only remembered");
    outside.send(&prices, "P", r#"{"productId":"P","newPrice":30}"#).unwrap();
    outside.flush().unwrap();
    wait_for("the next drop to be told", || {
        let all = kafka.follow(&notifications).ok()?.read(Duration::from_millis(500));
        (all.len() == told_before.len() + 1).then_some(())
    })
    .unwrap();
}
