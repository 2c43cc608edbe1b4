//! Damaged batches on a real broker. librdkafka reports an error and skips past such a
//! batch; a worker must not.

#![allow(clippy::unwrap_used)]

mod rig;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use pricedrop_harness::servers;
use pricedrop_model::ports::{Committer, Error, UpdateSource};
use rig::{P0, PATIENCE, Rig, fresh, options, produce, worker};

/// Flips a bit of a batch in the broker's file of partition 0 of a topic, or flips it
/// back. Batches count from 0.
fn flip(broker: &Path, topic: &str, batch: usize) {
    let path = broker.join(format!("data/{topic}-0/00000000000000000000.log"));
    let log = File::options().read(true).write(true).open(&path).unwrap();
    let mut start = 0;
    for _ in 0..batch {
        let mut length = [0; 4];
        log.read_exact_at(&mut length, start + 8).unwrap();
        start += 12 + u64::from(u32::from_be_bytes(length));
    }
    // A bit of the first timestamp: the checksum covers it, and the broker does not read it.
    let mut byte = [0];
    log.read_exact_at(&mut byte, start + 34).unwrap();
    log.write_all_at(&[byte[0] ^ 1], start + 34).unwrap();
}

/// Returns the offsets that are read until `last` is read or this time has passed.
async fn read(rig: &mut Rig, last: i64, wait: Duration) -> Vec<i64> {
    let (until, mut offsets) = (Instant::now() + wait, Vec::new());
    while Instant::now() < until && offsets.last() != Some(&last) {
        let batch = rig.source.next_batch(10, 200).await.unwrap().unwrap();
        offsets.extend(batch.iter().map(|record| record.position.offset));
    }
    offsets
}

#[tokio::test]
async fn updates_in_a_damaged_batch_are_not_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let broker = servers::Own::kafka(&folder.path().join("broker")).unwrap();
    let settings = fresh(broker.address(), 1).await;
    for value in ["a", "b", "c"] {
        produce(&settings, 0, &[value.into()]);
    }
    flip(broker.folder(), &settings.topics.prices, 1);
    let mut rig = worker(options(&settings), &folder.path().join("engine"));
    assert_eq!(rig.own(1).await.offsets, [(P0, 0)]);
    assert_eq!(read(&mut rig, 2, Duration::from_secs(4)).await, [0], "nothing behind the damage");
    flip(broker.folder(), &settings.topics.prices, 1);
    assert_eq!(read(&mut rig, 2, PATIENCE).await, [1, 2], "all of it once it is mended");
}

#[tokio::test]
async fn a_partition_whose_states_cannot_be_read_is_not_acquired() {
    let folder = tempfile::tempdir().unwrap();
    let broker = servers::Own::kafka(&folder.path().join("broker")).unwrap();
    let settings = fresh(broker.address(), 1).await;
    let mut first = worker(options(&settings), &folder.path().join("1"));
    first.own(1).await;
    drop(first);
    flip(broker.folder(), &settings.topics.state, 0);
    let mut second = worker(options(&settings), &folder.path().join("2"));
    let until = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < until, "nobody said that states cannot be read");
        match second.committer.restore().await {
            Err(Error::Unavailable(why)) if why.as_str().contains("records cannot be read") => break,
            Ok(restored) => assert!(restored.offsets.is_empty(), "taken over without some of its states"),
            Err(_) => {}
        }
        let _ = second.source.next_batch(1, 100).await;
    }
    flip(broker.folder(), &settings.topics.state, 0);
    second.own(1).await;
}
