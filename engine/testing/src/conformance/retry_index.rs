//! The conformance suite for implementations of the `RetryIndex` port: the order of due retries, one owner per partition,
//! and the answer that an index does not belong to the caller.

use pricedrop_model::dispatch::Retry;
use pricedrop_model::retry_index::{Kept, Owned, RetryIndex};
use pricedrop_model::{Partition, WallTime};

use super::retries::retry;

/// The usual arguments of `take`: everything due at `NOW`, postponed to `UNTIL`.
const NOW: i64 = 1_000;
const UNTIL: i64 = 9_000;

fn owned(partition: i32, token: u64) -> Owned {
    Owned { partition: Partition(partition), token }
}

fn on(channel: &str, partition: i32, key: &str, due: i64) -> Retry {
    Retry { partition: Partition(partition), ..retry(key, channel, due) }
}

fn mail(partition: i32, key: &str, due: i64) -> Retry {
    on("mail", partition, key, due)
}

async fn build<I: RetryIndex>(index: &I, owned: Owned, retries: &[Retry]) {
    index.clear(owned).await.expect("cleared");
    assert_eq!(index.restore(owned, retries).await.expect("restored"), Kept::Done);
    assert_eq!(index.seed(owned).await.expect("seeded"), Kept::Done);
}

/// Returns the keys taken from the channel `mail`, and the partitions to rebuild.
async fn taken<I: RetryIndex>(
    index: &I,
    owned: &[Owned],
    (now, until): (i64, i64),
    most: usize,
) -> (Vec<String>, Vec<Partition>) {
    let taken = index.take(owned, "mail", WallTime(now), WallTime(until), most).await.expect("taken");
    (taken.retries.into_iter().map(|retry| retry.key).collect(), taken.lost)
}

/// Returns all keys of `mail` that are due. No partition may need a rebuild.
async fn due<I: RetryIndex>(index: &I, owned: &[Owned], now: i64) -> Vec<String> {
    let (keys, lost) = taken(index, owned, (now, UNTIL), 100).await;
    assert_eq!(lost, [], "no partition is to be rebuilt");
    keys
}

/// Counts by channel. A channel without retries may be listed or not.
async fn waiting<I: RetryIndex>(index: &I, owned: &[Owned]) -> (Vec<(String, u64)>, Vec<Partition>) {
    let mut waiting = index.waiting(owned).await.expect("counted");
    assert!(waiting.by_channel.is_sorted(), "{:?}", waiting.by_channel);
    waiting.by_channel.retain(|(_, count)| *count > 0);
    (waiting.by_channel, waiting.lost)
}

/// The order is over all partitions. At most as many as requested are returned, and only those of
/// the channel.
pub async fn the_longest_due_comes_first_over_all_partitions<I: RetryIndex>(index: I) {
    let both = [owned(3, 7), owned(4, 8)];
    build(&index, both[0], &[mail(3, "c", 30), mail(3, "a", 10), mail(3, "late", NOW + 1)]).await;
    build(&index, both[1], &[mail(4, "d", 40), mail(4, "b", 20), on("push", 4, "other", 1)]).await;
    assert_eq!(taken(&index, &both, (9, UNTIL), 3).await.0, [""; 0], "none is due yet");
    assert_eq!(taken(&index, &both, (NOW, UNTIL), 0).await.0, [""; 0], "none was asked for");
    assert_eq!(
        taken(&index, &both, (NOW, UNTIL), 3).await,
        (vec!["a".into(), "b".into(), "c".into()], vec![])
    );
    assert_eq!(taken(&index, &both, (NOW, UNTIL), 3).await, (vec!["d".into()], vec![]));
    let counted = vec![("mail".to_owned(), 5), ("push".to_owned(), 1)];
    assert_eq!(waiting(&index, &both).await, (counted, vec![]), "what was taken waits still");
}

/// An owner that crashes between taking and removing loses nothing. A retry is returned with all
/// its fields, and is due again at `until` unless it was removed.
pub async fn a_taken_retry_stays_until_it_is_removed<I: RetryIndex>(index: I) {
    let owned = [owned(0, 1)];
    build(&index, owned[0], &[]).await;
    let entry = Retry { attempt: 7, reason: "busy".into(), ..mail(0, "a", 100) };
    assert_eq!(index.put(&owned, std::slice::from_ref(&entry)).await.expect("put"), []);
    let first = index.take(&owned, "mail", WallTime(100), WallTime(500), 9).await.expect("taken");
    assert_eq!((first.retries, first.lost), (vec![entry.clone()], vec![]));
    assert_eq!(taken(&index, &owned, (499, 999), 9).await.0, [""; 0]);
    let again = index.take(&owned, "mail", WallTime(500), WallTime(999), 9).await.expect("taken");
    assert_eq!(again.retries, [Retry { due: WallTime(500), ..entry.clone() }]);
    for _ in 0..2 {
        assert_eq!(index.remove(&owned, std::slice::from_ref(&entry)).await.expect("removed"), []);
    }
    assert_eq!(due(&index, &owned, UNTIL).await, [""; 0]);
    assert_eq!(waiting(&index, &owned).await, (vec![], vec![]));
}

/// A delivery has at most one retry: the one put last.
pub async fn putting_a_retry_again_replaces_it<I: RetryIndex>(index: I) {
    let owned = [owned(0, 1)];
    build(&index, owned[0], &[mail(0, "a", 100)]).await;
    let again = Retry { attempt: 3, ..mail(0, "a", 400) };
    assert_eq!(index.put(&owned, std::slice::from_ref(&again)).await.expect("put"), []);
    assert_eq!(waiting(&index, &owned).await.0, [("mail".to_owned(), 1)]);
    assert_eq!(due(&index, &owned, 399).await, [""; 0]);
    let taken = index.take(&owned, "mail", WallTime(400), WallTime(UNTIL), 9).await.expect("taken");
    assert_eq!(taken.retries, [again]);
}

/// Every call returns the partitions to rebuild, and does its work for the others.
pub async fn a_partition_never_built_is_lost_and_the_others_are_served<I: RetryIndex>(index: I) {
    let both = [owned(0, 1), owned(1, 1)];
    build(&index, both[1], &[mail(1, "a", 10)]).await;
    assert_eq!(taken(&index, &both, (NOW, UNTIL), 9).await, (vec!["a".into()], vec![Partition(0)]));
    let put = index.put(&both, &[mail(0, "x", 1), mail(1, "b", 2), mail(2, "nobody's", 3)]).await;
    assert_eq!(put.expect("answered"), [Partition(0), Partition(2)]);
    assert_eq!(taken(&index, &both, (NOW, UNTIL), 9).await, (vec!["b".into()], vec![Partition(0)]));
    assert_eq!(waiting(&index, &both).await, (vec![("mail".into(), 2)], vec![Partition(0)]));
    let removed = index.remove(&both, &[mail(0, "x", 1), mail(1, "a", 10), mail(2, "nobody's", 3)]).await;
    assert_eq!(removed.expect("answered"), [Partition(0), Partition(2)]);
    assert_eq!(waiting(&index, &both).await.0, [("mail".to_owned(), 1)]);
}

/// Before `seed`, nothing is taken from a partition and only `restore` adds to it; afterwards only
/// `put` does.
pub async fn a_partition_is_its_owners_once_it_is_seeded<I: RetryIndex>(index: I) {
    let ours = owned(0, 1);
    assert_eq!(index.restore(ours, &[mail(0, "a", 1)]).await.expect("answered"), Kept::Lost, "not cleared");
    assert_eq!(index.seed(ours).await.expect("answered"), Kept::Lost, "not cleared");
    index.clear(ours).await.expect("cleared");
    assert_eq!(index.restore(ours, &[mail(0, "a", 1)]).await.expect("restored"), Kept::Done);
    assert_eq!(index.restore(ours, &[mail(0, "b", 2)]).await.expect("restored"), Kept::Done);
    assert_eq!(index.put(&[ours], &[mail(0, "c", 3)]).await.expect("answered"), [Partition(0)]);
    assert_eq!(index.remove(&[ours], &[mail(0, "a", 1)]).await.expect("answered"), [Partition(0)]);
    assert_eq!(taken(&index, &[ours], (NOW, UNTIL), 9).await, (vec![], vec![Partition(0)]));
    assert_eq!(waiting(&index, &[ours]).await, (vec![], vec![Partition(0)]));
    assert_eq!(index.seed(ours).await.expect("seeded"), Kept::Done);
    assert_eq!(index.restore(ours, &[mail(0, "d", 4)]).await.expect("answered"), Kept::Lost, "seeded");
    assert_eq!(due(&index, &[ours], NOW).await, ["a", "b"]);
}

/// From the new owner's `clear` on, no call of the old owner has an effect.
pub async fn a_new_owner_takes_the_partition_from_the_one_before<I: RetryIndex>(index: I) {
    let (before, after) = (owned(0, 1), owned(0, 2));
    build(&index, before, &[mail(0, "old", 10)]).await;
    index.clear(after).await.expect("cleared");
    assert_eq!(index.put(&[before], &[mail(0, "older", 5)]).await.expect("answered"), [Partition(0)]);
    assert_eq!(index.restore(before, &[mail(0, "older", 5)]).await.expect("answered"), Kept::Lost);
    assert_eq!(index.restore(after, &[mail(0, "new", 20)]).await.expect("restored"), Kept::Done);
    assert_eq!(index.seed(before).await.expect("answered"), Kept::Lost);
    assert_eq!(index.seed(after).await.expect("seeded"), Kept::Done);
    assert_eq!(index.put(&[before], &[mail(0, "older", 5)]).await.expect("answered"), [Partition(0)]);
    assert_eq!(index.remove(&[before], &[mail(0, "new", 20)]).await.expect("answered"), [Partition(0)]);
    assert_eq!(taken(&index, &[before], (NOW, UNTIL), 9).await, (vec![], vec![Partition(0)]));
    assert_eq!(waiting(&index, &[before]).await, (vec![], vec![Partition(0)]));
    assert_eq!(due(&index, &[after], NOW).await, ["new"]);
}

/// `clear` empties every channel of one partition, and no other partition: 1 is not 10.
pub async fn clearing_empties_one_partition_for_its_owner_too<I: RetryIndex>(index: I) {
    let both = [owned(1, 1), owned(10, 1)];
    build(&index, both[0], &[mail(1, "a", 1), on("push", 1, "b", 1)]).await;
    build(&index, both[1], &[mail(10, "a", 2)]).await;
    build(&index, both[0], &[on("sms", 1, "c", 1)]).await;
    let counted = vec![("mail".to_owned(), 1), ("sms".to_owned(), 1)];
    assert_eq!(waiting(&index, &both).await, (counted, vec![]));
    let all = index.take(&both, "mail", WallTime(NOW), WallTime(UNTIL), 9).await.expect("taken");
    assert_eq!(all.retries, [mail(10, "a", 2)]);
}

/// Each is taken once, ordered by due time and key, whatever the sizes of the calls.
pub async fn thousands_of_retries_are_restored_and_taken_in_order<I: RetryIndex>(index: I) {
    const ALL: usize = 2_500;
    let owned = [owned(0, 1)];
    let all: Vec<Retry> = (0..ALL as i64).map(|at| mail(0, &format!("{at:04}"), NOW - 1 - at % 10)).collect();
    build(&index, owned[0], &all).await;
    assert_eq!(waiting(&index, &owned).await.0, [("mail".to_owned(), ALL as u64)]);
    let mut seen: Vec<Retry> = Vec::new();
    while seen.len() <= ALL {
        let page = index.take(&owned, "mail", WallTime(NOW), WallTime(UNTIL), 400).await.expect("taken");
        if page.retries.is_empty() {
            break;
        }
        assert!(page.retries.len() <= 400);
        seen.extend(page.retries);
    }
    assert_eq!(seen.len(), ALL);
    assert!(seen.is_sorted_by(|a, b| (a.due, &a.key) < (b.due, &b.key)));
    assert_eq!(index.put(&owned, &all).await.expect("put"), []);
    assert_eq!(index.remove(&owned, &seen).await.expect("removed"), []);
    assert_eq!(waiting(&index, &owned).await, (vec![], vec![]));
}
