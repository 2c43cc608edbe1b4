//! Checks before the start: topics with wrong settings, producers that do not key by product, an
//! input whose number of partitions has grown.
#![allow(clippy::unwrap_used)]

mod rig;

use pricedrop_harness::servers;
use pricedrop_kafka as kafka;
use pricedrop_kafka::{Settings, topics};
use pricedrop_model::{Partition, ProductId};
use rig::{fresh, grow, options, produce, restrict, worker};

/// Returns the finding about a topic that contains `what`, and whether the engine works anyway.
async fn said(settings: &Settings, topic: &str, what: &str) -> (bool, String) {
    let all = topics::check(settings).await.unwrap();
    let found = all.iter().find(|finding| finding.topic == topic && finding.what.contains(what));
    let found = found.unwrap_or_else(|| panic!("{what} is not said of {topic}: {all:?}"));
    (!found.fatal, found.remedy.clone())
}

#[tokio::test]
async fn a_topic_with_wrong_settings_is_reported_with_the_remedy() {
    let settings = fresh(&servers::kafka(), 1).await;
    let topics = &settings.topics;
    for (topic, option, what, works) in [
        (&topics.state, ("cleanup.policy", "delete"), "must be compacted alone", false),
        (&topics.retries, ("cleanup.policy", "compact,delete"), "must be compacted alone", false),
        (&topics.notifications, ("cleanup.policy", "compact"), "is compacted", false),
        (&topics.dead_updates, ("max.message.bytes", "5000"), "takes records up to 5000 bytes", false),
        (&topics.prices, ("min.insync.replicas", "1"), "min.insync.replicas=1", true),
        (&topics.removals, ("unclean.leader.election.enable", "true"), "unclean leader election", true),
    ] {
        restrict(&settings, topic, option).await;
        let (found_to_work, remedy) = said(&settings, topic, what).await;
        assert_eq!(found_to_work, works, "{topic}: {what}");
        let altered = format!("--entity-name {topic} --add-config {}=", option.0);
        assert!(remedy.contains("kafka-configs.sh") && remedy.contains(&altered), "{remedy}");
    }
}

#[tokio::test]
async fn records_without_the_product_as_key_and_products_in_two_partitions_are_found() {
    let settings = fresh(&servers::kafka(), 2).await;
    let price = |product: &str| format!(r#"{{"productId":"{product}","newPrice":5}}"#);
    produce(&settings, 0, &[price("P"), "no update".into()]);
    let sample = kafka::sample(&settings, None).unwrap();
    assert_eq!((sample.records, sample.key_mismatches, sample.unreadable), (2, 1, 1));
    assert_eq!((sample.example, sample.spread), (Some(("none".into(), "P".into())), None));
    produce(&settings, 1, &[price("Q"), price("P")]);
    let spread = kafka::sample(&settings, None).unwrap().spread.unwrap();
    assert_eq!(spread.0, ProductId::new("P").unwrap());
    assert_eq!([spread.1, spread.2].iter().max(), Some(&Partition(1)));
}

#[tokio::test]
async fn the_sample_names_an_update_from_the_future_and_one_that_cannot_be_read() {
    let settings = fresh(&servers::kafka(), 1).await;
    let price = |at: &str| format!(r#"{{"productId":"P","newPrice":5,"occurredAt":{at}}}"#);
    produce(&settings, 0, &[price("\"2199-12-31T00:00:00Z\""), price("1796006060000000")]);
    let sample = kafka::sample(&settings, None).unwrap();
    let (product, position, at) = sample.future_example.unwrap();
    assert_eq!((sample.future, product.as_str(), position.offset), (1, "P", 0));
    assert_eq!(at.to_string(), "2199-12-31T00:00:00Z");
    let (position, reason) = sample.unreadable_example.unwrap();
    assert!(position.offset == 1 && reason.contains("looks like microseconds"), "{reason}");
}

#[tokio::test]
async fn an_input_that_gained_partitions_is_detected_before_the_start() {
    let settings = fresh(&servers::kafka(), 1).await;
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(kafka::outgrown(&settings).unwrap(), None, "nothing was stored yet");
    worker(options(&settings), folder.path()).own(1).await;
    assert_eq!(kafka::outgrown(&settings).unwrap(), None);
    grow(&settings, &settings.topics.prices, 3).await;
    let (what, remedy) = kafka::outgrown(&settings).unwrap().unwrap();
    assert!(what.contains("had 1 partitions") && what.contains("has 3 now"), "{what}");
    assert!(remedy.contains("topics.state") && remedy.contains("rules.first_price"), "{remedy}");
}
