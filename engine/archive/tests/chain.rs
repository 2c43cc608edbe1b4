//! Chains hold exactly what their writers were given, even if writers compete and are killed.
#![allow(clippy::unwrap_used)]

mod rig;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use pricedrop_archive::{Bucket, Builder, Chain, Error, Finding, Reader};
use pricedrop_harness::peers::Peer;
use rand::RngExt as _;
use rig::{GROUP, folder, open, record_at, records, s3, s3_at, source};

const WRITERS: usize = 3;
const KILLS: u64 = 60;
/// The offset at which the archive begins, which is not 0.
const FIRST: i64 = 5;
const RECORDS_MIN: i64 = 500;

/// Appends objects of random sizes, is killed at random moments, and starts again.
async fn writer(bucket: Bucket, kills: Arc<AtomicU64>) {
    let until = Duration::from_millis(1);
    let mut patience = until;
    loop {
        let appended = tokio::time::timeout(patience * rand::rng().random_range(1..=60), async {
            let mut chain = Chain::open(&bucket, source()).await.unwrap();
            chain.begin(FIRST, None).await.unwrap();
            let first = chain.next().unwrap();
            if first > RECORDS_MIN && kills.load(Relaxed) >= KILLS {
                return true;
            }
            let mut builder = Builder::new(first);
            let last = first + rand::rng().random_range(1..30);
            (first..=last).filter_map(record_at).for_each(|record| builder.push(record));
            if !builder.is_empty() {
                // Another writer may delete its object while this one reads it.
                let appended = chain.append(&builder.finish()).await;
                assert!(appended.as_ref().err().is_none_or(Error::is_transient), "{appended:?}");
            }
            false
        });
        match appended.await {
            Ok(true) => return,
            Ok(false) => patience = until,
            Err(_) => {
                kills.fetch_add(1, Relaxed);
                // A long chain takes longer to open.
                patience = (patience * 2).min(Duration::from_millis(64));
            }
        }
    }
}

async fn writers_fight(bucket: Bucket) {
    bucket.claim(GROUP).await.unwrap();
    let kills = Arc::new(AtomicU64::new(0));
    let writers = (0..WRITERS).map(|_| tokio::spawn(writer(bucket.clone(), Arc::clone(&kills))));
    for ended in futures::future::join_all(writers).await {
        ended.unwrap();
    }
    let archived = records(&bucket).await;
    let last = archived.last().unwrap().offset;
    let expected: Vec<_> = (FIRST..=last).filter_map(record_at).collect();
    assert_eq!(archived, expected);
    assert!(kills.load(Relaxed) >= KILLS, "{kills:?} kills");
    // The next writer cleans up what killed writers left.
    Chain::open(&bucket, source()).await.unwrap();
    let reader = Reader::open(bucket, Some(GROUP)).await.unwrap();
    let status = reader.status(&source()).await.unwrap();
    let left: Vec<&Finding> = status
        .findings
        .iter()
        .filter(|it| !matches!(it, Finding::Unlinked(name) if !is_before(name, last)))
        .collect();
    assert_eq!(left, [] as [&Finding; 0]);
    assert_eq!((status.first, status.next), (FIRST, last + 1));
}

/// Returns whether an object begins within the chain.
fn is_before(name: &str, last: i64) -> bool {
    source().range_of(&name.into()).is_some_and(|range| range.first <= last)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_writers_that_are_killed_leave_one_complete_chain_in_s3() {
    writers_fight(open(&s3())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_writers_that_are_killed_leave_one_complete_chain_in_moto() {
    let moto = Peer::s3().unwrap();
    writers_fight(open(&s3_at(&moto.host()))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_writers_that_are_killed_leave_one_complete_chain_in_a_folder() {
    let home = tempfile::tempdir().unwrap();
    writers_fight(open(&folder(&home))).await;
}

#[tokio::test]
async fn two_archives_that_start_together_begin_at_the_same_offset() {
    let bucket = open(&s3());
    bucket.claim(GROUP).await.unwrap();
    let begin = |first: i64| {
        let bucket = bucket.clone();
        async move {
            let mut chain = Chain::open(&bucket, source()).await.unwrap();
            chain.begin(first, None).await.unwrap();
            chain.next().unwrap()
        }
    };
    let began = futures::future::join_all([0, 5, 9].map(begin)).await;
    assert!(began.iter().all(|first| *first == began[0]), "{began:?}");
}
