//! Hanging transactions: those that Kafka did not end, or ended only in some partitions.

#![allow(clippy::unwrap_used)]

mod rig;

use std::path::Path;

use pricedrop_harness::servers;
use pricedrop_kafka::{Settings, differences};
use rig::{
    P0, commit_of, fresh, hangs, leave_open, move_group, options, produce, told, waits, worker,
    write_position,
};

/// Starts a worker in this folder, which notifies `u0` of the first record and stops. Returns its
/// transactional id.
async fn commit_first(settings: &Settings, folder: &Path) -> String {
    let mut rig = worker(options(settings), folder);
    rig.own(1).await;
    rig.insist(0, |offset| commit_of(offset, &["u0"])).await;
    rig.instance_id.transactional_id(&settings.group, 0)
}

/// A broker that restarts and finds an expired transaction may not end it in a partition
/// that has no leader yet.
#[tokio::test]
async fn transactions_left_open_by_a_broker_stop_no_worker_and_stay_invisible() {
    let folder = tempfile::tempdir().unwrap();
    let mut broker = servers::Own::kafka(&folder.path().join("broker")).unwrap();
    let settings = fresh(broker.address(), 1).await;
    produce(&settings, 0, &["a".into(), "b".into()]);
    let mine = folder.path().join("engine");
    let id = commit_first(&settings, &mine).await;
    leave_open(&settings, &id, "nobody", 7);
    broker.kill().unwrap();
    broker.start().unwrap();
    let mut rig = worker(options(&settings), &mine);
    assert_eq!(rig.own(1).await.offsets, [(P0, 1)]);
    rig.insist(1, |offset| commit_of(offset, &["u1"])).await;
    assert_eq!(told(&settings), ["u0", "u1"]);
}

/// Encodes the position that a commit of the producer with this id stores.
fn position(next: i64, id: &str) -> Vec<u8> {
    [&next.to_be_bytes()[..], id.as_bytes()].concat()
}

/// Kafka may commit a transaction in one partition and leave it open in another.
#[tokio::test]
async fn reading_continues_after_the_states_if_kafka_lost_their_offset() {
    let settings = fresh(&servers::kafka(), 1).await;
    produce(&settings, 0, &["a".into(), "b".into(), "c".into(), "d".into()]);
    let folder = tempfile::tempdir().unwrap();
    let id = commit_first(&settings, folder.path()).await;
    write_position(&settings, &position(3, &id));
    assert_eq!(differences(&settings).unwrap(), []);
    for _ in 0..2 {
        let mut rig = worker(options(&settings), folder.path());
        assert_eq!(rig.own(1).await.offsets, [(P0, 3)]);
        assert!(rig.status.stopped().is_empty());
    }
    // If an operator had set the group's offset, the worker would have to ask.
    move_group(&settings, 1).await;
    waits(&settings, folder.path(), "at offset 1, and the states were stored at 3", 3).await;
}

/// Leaves a transaction that hangs in the notifications. Whether it hangs depends on which
/// partitions have a leader when the restarted broker aborts it, so this tries several times.
fn leave_hanging(broker: &mut servers::Own, settings: &Settings, id: &str, user: &str, offset: i64) {
    for _ in 0..10 {
        leave_open(settings, id, user, offset);
        broker.kill().unwrap();
        broker.start().unwrap();
        if hangs(settings, &settings.topics.notifications) {
            return;
        }
    }
    panic!("the broker ended all of the transactions");
}

/// A transaction that was committed in one partition must be committed where it hangs, or
/// notifications are lost.
#[tokio::test]
async fn the_hanging_part_of_a_committed_transaction_is_committed() {
    let folder = tempfile::tempdir().unwrap();
    let mut broker = servers::Own::kafka(&folder.path().join("broker")).unwrap();
    let settings = fresh(broker.address(), 1).await;
    produce(&settings, 0, &["a".into(), "b".into(), "c".into()]);
    let mine = folder.path().join("engine");
    let id = commit_first(&settings, &mine).await;
    write_position(&settings, &position(2, &id));
    leave_hanging(&mut broker, &settings, &id, "u1", 2);
    let mut rig = worker(options(&settings), &mine);
    assert_eq!(rig.own(1).await.offsets, [(P0, 2)]);
    rig.insist(2, |offset| commit_of(offset, &["u2"])).await;
    assert!(!hangs(&settings, &settings.topics.notifications));
    let users: Vec<String> = told(&settings).into_iter().filter(|key| !key.starts_with('\0')).collect();
    assert_eq!(users, ["u0", "u1", "u2"]);
}
