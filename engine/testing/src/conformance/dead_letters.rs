//! The conformance suite for implementations of the `DeadLetters` port.

use pricedrop_model::WallTime;
use pricedrop_model::dispatch::{DeadLetter, DeadLetterId, DeadLetters, DeadWhat, NewDeadLetter};

fn letter(reason: &str) -> NewDeadLetter {
    let what = DeadWhat::Update {
        partition: 0,
        offset: 7,
        key: None,
        value: Some("not JSON \u{fffd}".into()),
        truncated: Some(99),
    };
    NewDeadLetter { at: WallTime(1), reason: reason.into(), what }
}

async fn all<D: DeadLetters>(log: &D) -> Vec<DeadLetter> {
    log.list(None, 100).await.expect("a page")
}

fn reasons(letters: &[DeadLetter]) -> Vec<&str> {
    letters.iter().map(|letter| letter.reason.as_str()).collect()
}

/// Ids ascend in the order of adding, and pages have the order of ids.
pub async fn ids_ascend_in_the_order_of_adding<D: DeadLetters>(log: D) {
    log.add(vec![letter("a"), letter("b")]).await.expect("added");
    log.add(vec![letter("c")]).await.expect("added");
    let first = log.list(None, 2).await.expect("a page");
    let rest = log.list(Some(&first[1].id), 10).await.expect("a page");
    let all = [first, rest].concat();
    assert_eq!(reasons(&all), ["a", "b", "c"]);
    assert!(all.is_sorted_by(|a, b| a.id < b.id));
}

/// A dead letter is found by its id, with the content that was added. Other ids find nothing.
pub async fn an_id_names_one_dead_letter<D: DeadLetters>(log: D) {
    log.add(vec![letter("a"), letter("b")]).await.expect("added");
    let [a, b] = all(&log).await.try_into().expect("two");
    assert_eq!(b, letter("b").with_id(b.id.clone()));
    assert_eq!(log.get(&b.id).await.expect("answered").as_ref(), Some(&b));
    let other_topic = DeadLetterId { topic: "no-such-topic".into(), ..a.id.clone() };
    let other_partition = DeadLetterId { partition: pricedrop_model::Partition(i32::MAX), ..a.id.clone() };
    let other_offset = DeadLetterId { offset: i64::MAX, ..a.id.clone() };
    for id in [other_topic, other_partition, other_offset] {
        assert_eq!(log.get(&id).await.expect("answered"), None, "{id}");
        log.remove(&id).await.expect("nothing to remove");
    }
    assert_eq!(all(&log).await, [a, b]);
}

/// A page begins after any id, even if no dead letter has it.
pub async fn a_page_begins_after_any_id<D: DeadLetters>(log: D) {
    log.add(vec![letter("a"), letter("b")]).await.expect("added");
    let [a, b] = all(&log).await.try_into().expect("two");
    for (after, expected) in [
        (DeadLetterId { topic: "!".into(), ..b.id.clone() }, &["a", "b"][..]),
        (DeadLetterId { topic: "~".into(), ..a.id.clone() }, &[]),
        (DeadLetterId { partition: pricedrop_model::Partition(i32::MAX), ..a.id.clone() }, &[]),
        (DeadLetterId { offset: b.id.offset + 1000, ..a.id.clone() }, &[]),
        (DeadLetterId { offset: i64::MAX, ..a.id.clone() }, &[]),
        (a.id.clone(), &["b"]),
    ] {
        let page = log.list(Some(&after), 10).await.expect("a page");
        assert_eq!(reasons(&page), expected, "after {after}");
    }
    log.remove(&a.id).await.expect("removed");
    assert_eq!(log.list(Some(&a.id), 10).await.expect("a page"), [b]);
}

/// The next dead letter gets a higher id than one that was removed.
pub async fn the_id_of_a_removed_letter_is_not_used_again<D: DeadLetters>(log: D) {
    log.add(vec![letter("a")]).await.expect("added");
    let id = all(&log).await[0].id.clone();
    log.remove(&id).await.expect("removed");
    log.remove(&id).await.expect("removed");
    assert_eq!(log.get(&id).await.expect("answered"), None);
    log.add(vec![letter("b")]).await.expect("added");
    assert!(all(&log).await[0].id > id);
}
