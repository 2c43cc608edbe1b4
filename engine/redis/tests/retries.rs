//! The index of retries knows when it is not its owner's any more.
#![allow(clippy::unwrap_used)]

mod rig;

use pricedrop_model::dispatch::Retry;
use pricedrop_model::retry_index::{Kept, Owned, RetryIndex};
use pricedrop_model::{Partition, WallTime};
use pricedrop_redis::RedisRetryIndex;
use pricedrop_testing::conformance::retries::retry;

fn owned(partition: i32, token: u64) -> Owned {
    Owned { partition: Partition(partition), token }
}

fn due(partition: i32, key: &str, due: i64) -> Retry {
    Retry { partition: Partition(partition), ..retry(key, "mail", due) }
}

async fn build(index: &RedisRetryIndex, owned: Owned, retries: &[Retry]) {
    index.clear(owned).await.unwrap();
    assert_eq!(index.restore(owned, retries).await.unwrap(), Kept::Done);
    assert_eq!(index.seed(owned).await.unwrap(), Kept::Done);
}

async fn keys(index: &RedisRetryIndex, owned: &[Owned], most: usize) -> (Vec<String>, Vec<Partition>) {
    let taken = index.take(owned, "mail", WallTime(1_000), WallTime(9_000), most).await.unwrap();
    (taken.retries.into_iter().map(|retry| retry.key).collect(), taken.lost)
}

#[tokio::test]
async fn the_longest_due_comes_first_over_all_partitions() {
    let index = RedisRetryIndex::new(&rig::redis());
    let both = [owned(3, 7), owned(4, 8)];
    build(&index, both[0], &[due(3, "a", 10), due(3, "c", 30), due(3, "late", 5_000)]).await;
    build(&index, both[1], &[due(4, "b", 20), due(4, "d", 40)]).await;
    assert_eq!(keys(&index, &both, 3).await, (vec!["a".into(), "b".into(), "c".into()], vec![]));
    assert_eq!(keys(&index, &both, 3).await, (vec!["d".into()], vec![]));
    assert_eq!(index.waiting(&both).await.unwrap().by_channel, [("mail".into(), 5)]);
}

#[tokio::test]
async fn a_partition_that_was_never_built_is_lost_and_the_others_are_served() {
    let index = RedisRetryIndex::new(&rig::redis());
    let both = [owned(0, 1), owned(1, 1)];
    build(&index, both[1], &[due(1, "a", 10)]).await;
    assert_eq!(keys(&index, &both, 9).await, (vec!["a".into()], vec![Partition(0)]));
    let put = index.put(&both, &[due(0, "x", 1), due(1, "b", 2), due(2, "nobody's", 3)]).await.unwrap();
    assert_eq!(put, [Partition(0), Partition(2)]);
    assert_eq!(keys(&index, &both, 9).await, (vec!["b".into()], vec![Partition(0)]));
    assert_eq!(index.waiting(&both).await.unwrap().lost, [Partition(0)]);
}

#[tokio::test]
async fn an_owner_that_came_after_takes_the_partition_from_the_one_before() {
    let index = RedisRetryIndex::new(&rig::redis());
    let (before, after) = (owned(0, 1), owned(0, 2));
    build(&index, before, &[due(0, "old", 10)]).await;
    index.clear(after).await.unwrap();
    // Rebuilding already: what the one before still puts goes nowhere.
    assert_eq!(index.put(&[before], &[due(0, "older", 5)]).await.unwrap(), [Partition(0)]);
    assert_eq!(index.restore(before, &[due(0, "older", 5)]).await.unwrap(), Kept::Lost);
    assert_eq!(index.restore(after, &[due(0, "new", 20)]).await.unwrap(), Kept::Done);
    assert_eq!(keys(&index, &[after], 9).await, (vec![], vec![Partition(0)]), "not complete yet");
    assert_eq!(index.seed(before).await.unwrap(), Kept::Lost);
    assert_eq!(index.seed(after).await.unwrap(), Kept::Done);
    assert_eq!(index.remove(&[before], &[due(0, "new", 20)]).await.unwrap(), [Partition(0)]);
    assert_eq!(keys(&index, &[after], 9).await, (vec!["new".into()], vec![]));
}

#[tokio::test]
async fn thousands_of_retries_are_restored_and_taken_in_order() {
    let index = RedisRetryIndex::new(&rig::redis());
    let owned = owned(0, 1);
    let all: Vec<Retry> = (0..2_500).map(|at| due(0, &format!("{at:04}"), 999 - at % 10)).collect();
    build(&index, owned, &all).await;
    assert_eq!(index.waiting(&[owned]).await.unwrap().by_channel, [("mail".into(), 2_500)]);
    let mut taken = Vec::new();
    while let due = index.take(&[owned], "mail", WallTime(1_000), WallTime(2_000), 400).await.unwrap().retries
        && !due.is_empty()
    {
        taken.extend(due);
    }
    assert_eq!(taken.len(), 2_500);
    assert!(taken.is_sorted_by_key(|retry| (retry.due, retry.key.clone())));
    assert_eq!(index.remove(&[owned], &taken).await.unwrap(), []);
    assert_eq!(index.waiting(&[owned]).await.unwrap().by_channel.iter().map(|it| it.1).sum::<u64>(), 0);
}
