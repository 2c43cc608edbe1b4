//! Missing and altered objects of an archive are found.
#![allow(clippy::unwrap_used)]

mod rig;

use std::path::{Path, PathBuf};

use pricedrop_archive::{Bucket, Builder, Chain, Finding, Reader};
use rig::{GROUP, folder, open, record_at, source};
use tempfile::TempDir;

/// Writes an archive of three objects into a folder: offsets 0-9, 10-19, 20-29.
async fn archive(home: &TempDir) -> Bucket {
    let bucket = open(&folder(home));
    bucket.claim(GROUP).await.unwrap();
    let mut chain = Chain::open(&bucket, source()).await.unwrap();
    chain.begin(0, None).await.unwrap();
    for first in [0, 10, 20] {
        let mut builder = Builder::new(first);
        (first..first + 10).filter_map(record_at).for_each(|record| builder.push(record));
        chain.append(&builder.finish()).await.unwrap();
    }
    bucket
}

/// Returns its data objects, in order.
fn objects(home: &TempDir) -> Vec<PathBuf> {
    let date = home.path().join("topic=prices/partition=3/date=2026-11-30");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(date).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn link(home: &TempDir, first: i64) -> PathBuf {
    home.path().join(format!("_chain/topic=prices/partition=3/{first:020}.json"))
}

/// Returns the findings of reading everything.
async fn verified(bucket: Bucket) -> Vec<Finding> {
    let reader = Reader::open(bucket, None).await.unwrap();
    let (_, links, mut findings) = reader.links(&source()).await.unwrap();
    for link in &links {
        findings.extend(reader.read(link, |_| {}).await.unwrap());
    }
    findings
}

async fn status(bucket: Bucket) -> Vec<Finding> {
    let reader = Reader::open(bucket, None).await.unwrap();
    reader.status(&source()).await.unwrap().findings
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn an_undamaged_archive_has_no_findings() {
    let home = tempfile::tempdir().unwrap();
    let bucket = archive(&home).await;
    assert_eq!(status(bucket.clone()).await, []);
    assert_eq!(verified(bucket).await, []);
}

#[tokio::test]
async fn an_object_that_was_altered_is_found_by_its_checksum() {
    let home = tempfile::tempdir().unwrap();
    let bucket = archive(&home).await;
    let object = &objects(&home)[1];
    for at in 0..std::fs::read(object).unwrap().len() {
        flip(object, at);
        let found = verified(bucket.clone()).await;
        assert!(matches!(&found[..], [Finding::Damaged { .. }]), "byte {at}: {found:?}");
        flip(object, at);
    }
}

#[tokio::test]
async fn an_object_that_was_truncated_deleted_or_renamed_is_found_by_its_status() {
    let home = tempfile::tempdir().unwrap();
    let bucket = archive(&home).await;
    let object = &objects(&home)[1];
    let bytes = std::fs::read(object).unwrap();
    std::fs::write(object, &bytes[..bytes.len() - 1]).unwrap();
    assert!(matches!(&status(bucket.clone()).await[..], [Finding::Damaged { .. }]));
    std::fs::remove_file(object).unwrap();
    let found = status(bucket.clone()).await;
    assert!(
        matches!(&found[..], [Finding::MissingObject { range, .. }] if (range.first, range.last) == (10, 19))
    );
    assert_eq!(verified(bucket.clone()).await, found);
    let renamed = object.with_file_name("prices+3+00000000000000000011-00000000000000000019.jsonl.zst");
    std::fs::write(renamed, bytes).unwrap();
    let found = status(bucket).await;
    assert!(matches!(&found[..], [Finding::MissingObject { .. }, Finding::Unlinked(_)]), "{found:?}");
}

#[tokio::test]
async fn a_link_that_is_missing_or_damaged_is_found() {
    let home = tempfile::tempdir().unwrap();
    let bucket = archive(&home).await;
    let path = link(&home, 10);
    let json = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let missing = Finding::MissingLink { first: 10, next: 20 };
    assert_eq!(verified(bucket.clone()).await, [missing]);
    for wrong in ["", "{}", &json.replace("\"first\":10", "\"first\":11"), &json.replace(":19", ":9")] {
        std::fs::write(&path, wrong).unwrap();
        let found = verified(bucket.clone()).await;
        assert!(found.iter().any(|it| matches!(it, Finding::Damaged { .. })), "{wrong}: {found:?}");
    }
}

#[tokio::test]
async fn a_writer_does_not_continue_a_chain_whose_last_link_is_damaged() {
    let home = tempfile::tempdir().unwrap();
    let bucket = archive(&home).await;
    std::fs::write(link(&home, 20), "{").unwrap();
    let error = Chain::open(&bucket, source()).await.unwrap_err();
    assert!(error.to_string().contains("00000000000000000020.json is damaged"), "{error}");
    assert!(!error.is_transient());
}

#[tokio::test]
async fn lost_records_are_part_of_the_chain_and_reported() {
    let home = tempfile::tempdir().unwrap();
    let bucket = archive(&home).await;
    let mut chain = Chain::open(&bucket, source()).await.unwrap();
    chain.append_loss(49).await.unwrap();
    assert_eq!(chain.next(), Some(50));
    let found = status(bucket.clone()).await;
    assert!(matches!(&found[..], [Finding::Lost(range)] if (range.first, range.last) == (30, 49)));
    assert!(!found[0].is_damage());
    assert_eq!(verified(bucket).await, found);
}
