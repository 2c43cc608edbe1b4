//! Parsing and writing the ids of dead letters.
#![allow(clippy::unwrap_used)]

use pricedrop_model::Partition;
use pricedrop_model::dispatch::DeadLetterId;
use pricedrop_model::limits::TOPIC_BYTES;
use proptest::prelude::*;

fn ids() -> impl Strategy<Value = DeadLetterId> {
    ("[a-zA-Z0-9._-]{1,249}", 0..=i32::MAX, 0..=i64::MAX).prop_map(|(topic, partition, offset)| {
        DeadLetterId { topic: topic.into(), partition: Partition(partition), offset }
    })
}

proptest! {
    #[test]
    fn an_id_is_read_back_from_its_text_and_from_json(id in ids()) {
        prop_assert_eq!(&id.to_string().parse::<DeadLetterId>().unwrap(), &id);
        let json = serde_json::to_string(&id).unwrap();
        prop_assert_eq!(&json, &format!("\"{id}\""));
        prop_assert_eq!(serde_json::from_str::<DeadLetterId>(&json).unwrap(), id);
    }

    #[test]
    fn each_id_has_exactly_one_text(text in "[a./+0-]{0,3}/[0-9+ -]{0,3}/[0-9+ -]{0,3}") {
        if let Ok(id) = text.parse::<DeadLetterId>() {
            prop_assert_eq!(id.to_string(), text);
        }
    }

    #[test]
    fn ids_are_ordered_by_topic_then_partition_then_offset(a in ids(), b in ids()) {
        let key = |id: &DeadLetterId| (id.topic.to_string(), id.partition.0, id.offset);
        prop_assert_eq!(a.cmp(&b), key(&a).cmp(&key(&b)));
    }

    #[test]
    fn every_text_is_accepted_or_refused_with_a_reason(text in ".{0,40}") {
        if let Err(error) = text.parse::<DeadLetterId>() {
            let ending = "; the id of a dead letter is topic/partition/offset, such as price_updates.dlq/3/1881";
            prop_assert!(error.to_string().ends_with(ending));
        }
    }
}

#[test]
fn an_invalid_text_is_refused_with_the_reason() {
    let long = "x".repeat(TOPIC_BYTES + 1);
    for (text, expected) in [
        ("", "it has 1 of 3 parts"),
        ("1881", "it has 1 of 3 parts"),
        ("price_updates.dlq/3", "it has 2 of 3 parts"),
        ("price_updates.dlq/3/1881/replay", "it has more than 3 parts"),
        ("/3/1881", "`` is not the name of a topic"),
        ("prices dlq/3/1881", "`prices dlq` is not the name of a topic"),
        (&format!("{long}/3/1881"), &format!("`{long}` is not the name of a topic")),
        ("t/-1/0", "the partition `-1` is not a whole number from 0 to 2147483647"),
        ("t/2147483648/0", "the partition `2147483648` is not a whole number from 0 to 2147483647"),
        ("t/0/", "the offset `` is not a whole number from 0 to 9223372036854775807"),
        ("t/0/+7", "the offset `+7` is not a whole number from 0 to 9223372036854775807"),
        ("t/0/07", "the offset `07` is not a whole number from 0 to 9223372036854775807"),
    ] {
        let said = text.parse::<DeadLetterId>().unwrap_err().to_string();
        let (wrong, form) = said.split_once("; ").unwrap();
        assert_eq!(wrong, expected, "{text}");
        assert_eq!(
            form,
            "the id of a dead letter is topic/partition/offset, such as price_updates.dlq/3/1881"
        );
    }
}
