//! What the dead-letter log promises.

use pricedrop_model::WallTime;
use pricedrop_model::dispatch::{DeadItem, DeadLetters, DeadWhat};

fn item(reason: &str) -> DeadItem {
    let what = DeadWhat::Update {
        partition: 0,
        offset: 7,
        key: None,
        value: Some("not JSON \u{fffd}".into()),
        truncated: Some(99),
    };
    DeadItem { number: 0, at: WallTime(1), reason: reason.into(), what }
}

/// Numbers ascend in the order of adding, and pages follow them.
pub async fn items_are_numbered_in_order<D: DeadLetters>(log: D) {
    log.add(vec![item("a"), item("b")]).await.expect("added");
    log.add(vec![item("c")]).await.expect("added");
    let first = log.list(None, 2).await.expect("a page");
    let rest = log.list(Some(first[1].number), 10).await.expect("a page");
    let all = [first, rest].concat();
    assert_eq!(all.iter().map(|item| item.reason.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert!(all.is_sorted_by(|a, b| a.number < b.number));
    assert_eq!(log.get(all[1].number).await.expect("found").as_ref(), Some(&all[1]));
}

/// A number names one item forever.
pub async fn a_removed_item_leaves_its_number_unused<D: DeadLetters>(log: D) {
    log.add(vec![item("a")]).await.expect("added");
    let number = log.list(None, 1).await.expect("a page")[0].number;
    log.remove(number).await.expect("removed");
    log.remove(number).await.expect("removed");
    assert_eq!(log.get(number).await.expect("answered"), None);
    log.add(vec![item("b")]).await.expect("added");
    assert!(log.list(None, 1).await.expect("a page")[0].number > number);
}
