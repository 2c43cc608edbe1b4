//! Tests that the embedded store keeps records until the archiver has stored them.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::{Duration, Instant};

use pricedrop_embedded::{ArchivedTopic, Embedded, Options, PARTITION};
use pricedrop_model::archive::ArchiveSource as _;
use pricedrop_model::intake::{NewRecord, PriceIntake as _};
use pricedrop_model::ports::{Commit, Committer as _, Outcome, UpdateSource as _};
use tempfile::TempDir;

fn open(folder: &Path, archived: &[ArchivedTopic]) -> Embedded {
    let mut options = Options::new(folder);
    options.archived = archived.to_vec();
    options.build().unwrap()
}

/// Posts these values and commits them.
async fn commit(store: &Embedded, values: &[&str]) {
    let (intake, mut source) = store.source().unwrap();
    let mut committer = store.committer();
    committer.restore().await.unwrap();
    let records = values
        .iter()
        .map(|value| NewRecord { key: Some("key".into()), value: Some((*value).to_owned().into()) });
    let records: Vec<NewRecord> = records.collect();
    let posted = tokio::spawn(async move { intake.post(records, None).await });
    let mut taken = Vec::new();
    while taken.len() < values.len() {
        taken.extend(source.next_batch(100, 1000).await.unwrap().unwrap());
    }
    let next = taken.last().unwrap().position.offset + 1;
    let offsets = vec![(PARTITION, next)];
    committer.commit(Commit { offsets, ..Commit::default() }).await.unwrap();
    source.settled(taken.iter().map(|record| (record.position, Outcome::NotLower)).collect());
    posted.await.unwrap().unwrap();
}

fn read(store: &Embedded, from: i64) -> Vec<(i64, String)> {
    let mut source = store.archive_source(ArchivedTopic::Updates);
    source.read_from(&[(PARTITION, from)]).unwrap();
    let records = source.next_batch(1).unwrap();
    let value = |bytes: Option<bytes::Bytes>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
    records.into_iter().map(|(_, record)| (record.offset, value(record.value))).collect()
}

fn first(store: &Embedded) -> i64 {
    store.archive_source(ArchivedTopic::Updates).offsets(PARTITION).unwrap().0
}

fn wait_until_first_is(store: &Embedded, expected: i64) {
    let until = Instant::now() + Duration::from_secs(10);
    while first(store) != expected {
        assert!(Instant::now() < until, "the first offset kept is {}, not {expected}", first(store));
        std::thread::yield_now();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_is_kept_until_it_is_archived() {
    let folder: TempDir = tempfile::tempdir().unwrap();
    let store = open(folder.path(), &[ArchivedTopic::Updates]);
    commit(&store, &["a", "b", "c"]).await;
    drop(store);
    // Opening the store checks for what can be deleted.
    let store = open(folder.path(), &[ArchivedTopic::Updates]);
    let all = [(0, "a".to_owned()), (1, "b".to_owned()), (2, "c".to_owned())];
    assert_eq!(read(&store, 0), all);
    assert_eq!(read(&store, 1), all[1..]);
    let mut source = store.archive_source(ArchivedTopic::Updates);
    assert_eq!(source.offsets(PARTITION).unwrap(), (0, 3));
    source.archived(PARTITION, 2);
    drop((source, store));
    let store = open(folder.path(), &[ArchivedTopic::Updates]);
    wait_until_first_is(&store, 2);
    assert_eq!(read(&store, 0), all[2..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_are_deleted_once_the_archive_is_off() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), &[ArchivedTopic::Updates]);
    commit(&store, &["a", "b"]).await;
    drop(store);
    let store = open(folder.path(), &[]);
    wait_until_first_is(&store, 2);
    commit(&store, &["c"]).await;
    assert_eq!(read(&store, 0), []);
}
