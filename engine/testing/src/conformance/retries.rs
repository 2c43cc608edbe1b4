//! The conformance suite for implementations of the `RetryQueue` port.

use pricedrop_model::dispatch::{Recipient, Retry, RetryQueue};
use pricedrop_model::{Notification, Partition, Price, ProductId, UserId, WallTime};

/// Returns a delivery that failed once.
pub fn retry(key: &str, channel: &str, due: i64) -> Retry {
    let user_id = UserId::new("u").expect("a short name");
    Retry {
        partition: Partition(0),
        key: key.into(),
        due: WallTime(due),
        attempt: 2,
        since: WallTime(0),
        to: Recipient {
            user_id: user_id.clone(),
            channel: channel.into(),
            address: "a@example.org".into(),
            locale: None,
            attributes: Vec::new(),
        },
        notification: Notification {
            user_id,
            product_id: ProductId::new("P").expect("a short name"),
            new_price: Price::parse("79.9").expect("a price"),
            id: None,
            watch_price: None,
            previous_price: None,
            currency: None,
            occurred_at: None,
            title: None,
            url: None,
        },
        reason: "503".into(),
    }
}

async fn taken<Q: RetryQueue>(queue: &Q, now: i64, until: i64, most: usize) -> Vec<String> {
    let taken = queue.take("mail", WallTime(now), WallTime(until), most).await.expect("taken");
    taken.into_iter().map(|retry| retry.key).collect()
}

/// Entries are returned by channel and due time, at most as many as requested.
pub async fn the_longest_due_comes_first_and_only_when_due<Q: RetryQueue>(queue: Q) {
    let entries = [("c", "mail", 300), ("a", "mail", 100), ("x", "push", 1), ("b", "mail", 200)];
    queue.put(entries.map(|(key, channel, due)| retry(key, channel, due)).to_vec()).await.expect("put");
    assert!(taken(&queue, 99, 1_000, 10).await.is_empty());
    assert_eq!(taken(&queue, 250, 1_000, 1).await, ["a"]);
    assert_eq!(taken(&queue, 250, 1_000, 10).await, ["b"]);
    assert_eq!(queue.waiting().await.expect("counted"), [("mail".into(), 3), ("push".into(), 1)]);
}

/// A worker that crashes between taking and removing loses nothing.
pub async fn a_taken_entry_stays_until_removed<Q: RetryQueue>(queue: Q) {
    queue.put(vec![retry("a", "mail", 100)]).await.expect("put");
    let entry = queue.take("mail", WallTime(100), WallTime(500), 10).await.expect("taken").remove(0);
    assert_eq!((entry.attempt, entry.reason.as_str()), (2, "503"));
    assert!(taken(&queue, 499, 999, 10).await.is_empty());
    assert_eq!(taken(&queue, 500, 999, 10).await, ["a"]);
    queue.remove(&[entry]).await.expect("removed");
    assert!(taken(&queue, 5_000, 9_999, 10).await.is_empty());
    assert!(queue.waiting().await.expect("counted").iter().all(|(_, count)| *count == 0));
}

/// A delivery key has at most one entry.
pub async fn putting_again_moves_an_entry<Q: RetryQueue>(queue: Q) {
    queue.put(vec![retry("a", "mail", 100)]).await.expect("put");
    queue.put(vec![Retry { attempt: 3, ..retry("a", "mail", 400) }]).await.expect("put");
    assert!(taken(&queue, 399, 999, 10).await.is_empty());
    let entry = queue.take("mail", WallTime(400), WallTime(999), 10).await.expect("taken").remove(0);
    assert_eq!(entry.attempt, 3);
    assert_eq!(queue.waiting().await.expect("counted"), [("mail".into(), 1)]);
}
