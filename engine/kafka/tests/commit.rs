//! The guarantees of the notifier's commit, on a real broker.

#![allow(clippy::unwrap_used)]

mod rig;

use std::time::Instant;

use pricedrop_harness::servers;
use pricedrop_kafka::{Accepted, Delivery, KafkaCommitter, KafkaSource, Options, Settings, Start, accept};
use pricedrop_model::ports::{Commit, CommitError, Committer, Error, RejectedRecord, UpdateSource};
use pricedrop_model::{EventTime, Partition, Position, ProductId, Record, Removal, UserId, WriteTime};
use rig::{
    P0, PATIENCE, Rig, commit_of, committed, delete_records, forget_group, fresh, grow, move_group, options,
    produce, restrict, state, told, waits, worker,
};

fn bootstrap() -> String {
    servers::kafka()
}

/// Returns a committer that owns its one partition, and the values that must outlive it.
async fn open() -> (KafkaCommitter, impl Sized) {
    let settings = fresh(&bootstrap(), 1).await;
    let folder = tempfile::tempdir().unwrap();
    let mut rig = worker(options(&settings), folder.path());
    rig.own(1).await;
    (rig.committer, (rig.source, rig.instance_id, folder))
}

pricedrop_testing::conform!(open, commits);

mod input {
    use super::*;

    struct Input(Settings, Rig);

    impl pricedrop_testing::conformance::input::Input for Input {
        type Source = KafkaSource;
        type Committer = KafkaCommitter;
        fn source(&mut self) -> &mut KafkaSource {
            &mut self.1.source
        }
        fn committer(&mut self) -> &mut KafkaCommitter {
            &mut self.1.committer
        }
        fn append(&self, values: &[&str]) {
            produce(&self.0, 0, &values.iter().map(|value| value.to_string()).collect::<Vec<_>>());
        }
    }

    async fn begun() -> (Input, tempfile::TempDir) {
        let settings = fresh(&bootstrap(), 1).await;
        let folder = tempfile::tempdir().unwrap();
        let mut rig = worker(options(&settings), folder.path());
        rig.own(1).await;
        (Input(settings, rig), folder)
    }

    pricedrop_testing::conform!(begun, input);
}

async fn take(rig: &mut Rig, most: usize) -> Vec<i64> {
    let mut offsets = Vec::new();
    let until = std::time::Instant::now() + PATIENCE;
    while offsets.len() < most {
        assert!(std::time::Instant::now() < until, "records did not come");
        let batch = rig.source.next_batch(most - offsets.len(), 1000).await.unwrap().unwrap();
        offsets.extend(batch.into_iter().map(|record| record.position.offset));
    }
    offsets
}

#[tokio::test]
async fn a_restart_continues_from_the_commit_with_its_states() {
    let settings = fresh(&bootstrap(), 1).await;
    produce(&settings, 0, &["a".into(), "b".into(), "c".into()]);
    let folder = tempfile::tempdir().unwrap();
    for delivery in [Delivery::ExactlyOnce, Delivery::AtLeastOnce] {
        let mut options = options(&settings);
        options.settings.group = format!("{}-{delivery:?}", settings.group);
        options.settings.topics.state = format!("{}.{delivery:?}", settings.topics.state);
        let new = pricedrop_kafka::topics::NewTopics { partitions: 1, replication: 1 };
        pricedrop_kafka::topics::apply(&options.settings, new).await.unwrap();
        let mine = folder.path().join(format!("{delivery:?}"));
        options.delivery = delivery;
        let mut rig = {
            let mut rig = worker(options.clone(), &mine);
            assert_eq!(rig.own(1).await.offsets, [(P0, 0)]);
            assert_eq!(take(&mut rig, 3).await, [0, 1, 2]);
            rig.committer.commit(commit_of(0, &["u1", "u2"])).await.unwrap();
            drop(rig);
            let elsewhere = folder.path().join(format!("{delivery:?}-2"));
            worker(options, &elsewhere)
        };
        assert_eq!(rig.own(1).await.offsets, [(P0, 1)]);
        let loaded = rig.committer.load(&[(P0, ProductId::new("P").unwrap())]).await.unwrap();
        assert_eq!(loaded, [state(0, 0)]);
        assert_eq!(take(&mut rig, 2).await, [1, 2]);
    }
    assert_eq!(told(&settings), ["u1", "u1", "u2", "u2"]);
}

#[tokio::test]
async fn a_worker_that_lost_a_partition_commits_nothing() {
    let settings = fresh(&bootstrap(), 2).await;
    let folder = tempfile::tempdir().unwrap();
    let mut first = worker(options(&settings), &folder.path().join("1"));
    first.own(2).await;
    let mut second = worker(options(&settings), &folder.path().join("2"));
    second.own(1).await;
    let lost = if first.status.serving().is_empty() { P0 } else { second.status.serving()[0].0 };
    let mut commit = commit_of(0, &["u"]);
    commit.offsets = vec![(lost, 1)];
    commit.states = vec![state(lost.0, 0)];
    let refused = first.committer.commit(commit).await;
    assert!(matches!(refused, Err(CommitError::Fenced(_))), "{refused:?}");
    assert!(matches!(first.source.next_batch(1, 0).await, Err(Error::Rebalanced(_))));
    assert_eq!(first.own(1).await.offsets.len(), 1);
    assert_eq!(told(&settings), [""; 0]);
}

#[tokio::test]
async fn a_topic_with_records_is_not_started_without_a_decision() {
    let settings = fresh(&bootstrap(), 1).await;
    produce(&settings, 0, &["a".into(), "b".into()]);
    let folder = tempfile::tempdir().unwrap();
    for (start, first_price_is_set) in [(None, true), (Some(Start::Latest), false)] {
        let mut rig = worker(Options { start, first_price_is_set, ..options(&settings) }, folder.path());
        let refused = rig.fails().await;
        assert!(refused.contains("stream.start") && refused.contains("rules.first_price"), "{refused}");
    }
    let mut rig = worker(Options { start: Some(Start::Latest), ..options(&settings) }, folder.path());
    assert_eq!(rig.own(1).await.offsets, [(P0, 2)]);
}

#[tokio::test]
async fn a_paused_partition_returns_nothing_until_it_is_resumed() {
    let settings = fresh(&bootstrap(), 2).await;
    let folder = tempfile::tempdir().unwrap();
    let mut rig = worker(options(&settings), folder.path());
    rig.own(2).await;
    let values: Vec<String> = (0..2_000).map(|number| number.to_string()).collect();
    produce(&settings, 0, &values);
    assert_eq!(take(&mut rig, 100).await.len(), 100);
    rig.source.hold_back(&[P0]);
    // Both partitions share one queue: what was in it before is read by now.
    produce(&settings, 1, &values);
    let mut others = 0;
    while others < values.len() {
        let batch = rig.source.next_batch(500, 1000).await.unwrap().unwrap();
        assert!(batch.iter().all(|record| record.position.partition != P0));
        others += batch.len();
    }
    assert!(rig.source.next_batch(500, 200).await.unwrap().unwrap().is_empty());
    rig.source.hold_back(&[]);
    assert_eq!(take(&mut rig, 1_900).await, (100..2_000).collect::<Vec<i64>>());
}

#[tokio::test]
async fn an_empty_topic_is_started_without_a_decision() {
    let settings = fresh(&bootstrap(), 1).await;
    let folder = tempfile::tempdir().unwrap();
    let asked = Options { start: None, first_price_is_set: false, ..options(&settings) };
    assert_eq!(worker(asked, folder.path()).own(1).await.offsets, [(P0, 0)]);
}

#[tokio::test]
async fn states_of_another_offset_wait_for_an_operator() {
    let settings = fresh(&bootstrap(), 1).await;
    produce(&settings, 0, &["a".into(), "b".into(), "c".into()]);
    let folder = tempfile::tempdir().unwrap();
    let mut rig = worker(options(&settings), folder.path());
    rig.own(1).await;
    rig.committer.commit(commit_of(0, &["u"])).await.unwrap();
    drop(rig);
    // An operator moves the group's offset with a tool.
    move_group(&settings, 2).await;
    let mut rig = worker(options(&settings), folder.path());
    rig.own(0).await;
    rig.stops().await;
    let (_, why) = &rig.status.stopped()[0];
    assert!(why.contains("at offset 2") && why.contains("stored at 1"), "{why}");
    assert!(why.contains("pricedrop offsets set --partition 0"), "{why}");
    accept(&settings, None, Accepted::Offset(1)).unwrap();
    assert_eq!(rig.own(1).await.offsets, [(P0, 1)]);
    assert!(rig.status.stopped().is_empty());
    drop(rig);
    assert_eq!(worker(options(&settings), folder.path()).own(1).await.offsets, [(P0, 1)]);
}

/// Runs a worker that commits the first of three records and ends.
async fn gone_behind_the_first() -> (Settings, tempfile::TempDir) {
    let settings = fresh(&bootstrap(), 1).await;
    produce(&settings, 0, &["a".into(), "b".into(), "c".into()]);
    let folder = tempfile::tempdir().unwrap();
    let mut rig = worker(options(&settings), folder.path());
    rig.own(1).await;
    rig.committer.commit(commit_of(0, &["u"])).await.unwrap();
    (settings, folder)
}

#[tokio::test]
async fn records_that_were_deleted_unread_wait_for_an_operator() {
    let (settings, folder) = gone_behind_the_first().await;
    delete_records(&settings, 3).await;
    waits(&settings, folder.path(), "the log begins at 3: 2 records were deleted before they were read", 3)
        .await;
}

#[tokio::test]
async fn records_deleted_under_a_running_worker_wait_for_an_operator_who_sets_the_offset() {
    for protocol in PROTOCOLS {
        let mut settings = fresh(&bootstrap(), 1).await;
        settings.properties.insert(protocol.0.into(), protocol.1.into());
        produce(&settings, 0, &["a".into()]);
        let folder = tempfile::tempdir().unwrap();
        let mut rig = worker(options(&settings), folder.path());
        rig.own(1).await;
        rig.committer.commit(commit_of(0, &["u"])).await.unwrap();
        rig.source.hold_back(&[P0]);
        produce(&settings, 0, &["b".into(), "c".into(), "d".into()]);
        delete_records(&settings, 3).await;
        rig.stops().await;
        let (_, why) = &rig.status.stopped()[0];
        assert!(why.contains("the log begins at 3: 2 records were deleted before they were read"), "{why}");
        accept(&settings, None, Accepted::Offset(3)).unwrap();
        let (until, mut read) = (Instant::now() + PATIENCE, None);
        while read.is_none() {
            assert!(Instant::now() < until, "{protocol:?}: nothing is read from where it was told to go on");
            assert_eq!(rig.own(1).await.offsets, [(P0, 3)]);
            // The partition may still be moving, because the worker joined its group again.
            let batch = rig.source.next_batch(1, 500).await.ok().flatten().unwrap_or_default();
            read = batch.first().map(|record| record.position.offset);
        }
        assert_eq!(read, Some(3), "{protocol:?}");
    }
}

#[tokio::test]
async fn a_lost_group_offset_waits_for_an_operator() {
    let (settings, folder) = gone_behind_the_first().await;
    forget_group(&settings).await;
    waits(&settings, folder.path(), "whose states were stored at offset 1: it expired, or was deleted", 1)
        .await;
}

#[tokio::test]
async fn an_input_with_other_partitions_is_refused() {
    let settings = fresh(&bootstrap(), 1).await;
    let folder = tempfile::tempdir().unwrap();
    worker(options(&settings), folder.path()).own(1).await;
    for topic in [&settings.topics.prices, &settings.topics.state, &settings.topics.removals] {
        grow(&settings, topic, 2).await;
    }
    for _ in 0..2 {
        let refused = worker(options(&settings), folder.path()).fails().await;
        assert!(refused.contains("had 1 partitions") && refused.contains("has 2 now"), "{refused}");
    }
}

#[tokio::test]
async fn an_input_that_gains_partitions_at_run_time_is_refused() {
    let mut settings = fresh(&bootstrap(), 1).await;
    settings.properties.insert("topic.metadata.refresh.interval.ms".into(), "500".into());
    let folder = tempfile::tempdir().unwrap();
    let mut rig = worker(options(&settings), folder.path());
    rig.own(1).await;
    for topic in [&settings.topics.state, &settings.topics.removals, &settings.topics.prices] {
        grow(&settings, topic, 2).await;
    }
    let refused = rig.fails().await;
    assert!(refused.contains("had 1 partitions") && refused.contains("has 2 now"), "{refused}");
}

#[tokio::test]
async fn each_partition_with_records_needs_a_decision_where_to_start() {
    let settings = fresh(&bootstrap(), 2).await;
    produce(&settings, 1, &["a".into()]);
    // Another worker of the group was there before, and had the partition that is empty.
    move_group(&settings, 0).await;
    let folder = tempfile::tempdir().unwrap();
    let asked = Options { start: None, first_price_is_set: false, ..options(&settings) };
    let refused = worker(asked, folder.path()).fails().await;
    assert!(refused.contains("[1] for the first time") && refused.contains("stream.start"), "{refused}");
}

#[tokio::test]
async fn at_least_once_removes_and_stores_nothing_that_was_not_published() {
    let settings = fresh(&bootstrap(), 1).await;
    restrict(&settings, &settings.topics.notifications, ("max.message.bytes", "200")).await;
    let folder = tempfile::tempdir().unwrap();
    let lighter = Options { delivery: Delivery::AtLeastOnce, ..options(&settings) };
    let mut rig = worker(lighter, folder.path());
    rig.own(1).await;
    let users: Vec<String> = (0..20).map(|user| format!("u{user}")).collect();
    let mut commit = commit_of(0, &users.iter().map(String::as_str).collect::<Vec<_>>());
    commit.removals.push(Removal {
        product: commit.fan_outs[0].product.clone(),
        threshold: commit.fan_outs[0].priced.price,
        user: UserId::new("u0").unwrap(),
        write_time: WriteTime(1),
    });
    let refused = rig.committer.commit(commit).await.unwrap_err();
    assert!(
        matches!(&refused, CommitError::Unknown(why) if why.as_str().contains("not delivered")),
        "{refused}"
    );
    assert!(committed(&settings, &settings.topics.removals).is_empty());
    assert_eq!(rig.own(1).await.offsets, [(P0, 0)]);
}

#[tokio::test]
async fn a_record_too_long_for_the_dead_letters_is_truncated_and_marked() {
    let mut settings = fresh(&bootstrap(), 1).await;
    // The input may take larger records than the dead letter topic.
    settings.properties.insert("message.max.bytes".into(), "5000000".into());
    let folder = tempfile::tempdir().unwrap();
    let mut rig = worker(options(&settings), folder.path());
    rig.own(1).await;
    let record = Record {
        position: Position { partition: P0, offset: 0 },
        key: Some("k".into()),
        value: Some(vec![b'x'; 3_000_000].into()),
        timestamp: EventTime(0),
        original: None,
    };
    let rejected = RejectedRecord { record, reason: "no price".into() };
    let commit = Commit { rejected_records: vec![rejected], offsets: vec![(P0, 1)], ..Commit::default() };
    rig.committer.commit(commit).await.unwrap();
    let letters = committed(&settings, &settings.topics.dead_updates);
    assert_eq!(letters.len(), 1);
    let kept = letters[0].2.as_ref().unwrap().len();
    assert!((900_000..1_000_000).contains(&kept), "{kept}");
}

const PROTOCOLS: [(&str, &str); 3] = [
    ("partition.assignment.strategy", "range"),
    ("partition.assignment.strategy", "cooperative-sticky"),
    ("group.protocol", "consumer"),
];

#[tokio::test]
async fn a_worker_is_ready_once_it_acquired_its_partitions_even_if_it_has_none() {
    for (name, value) in PROTOCOLS {
        let mut settings = fresh(&bootstrap(), 1).await;
        settings.properties.insert(name.into(), value.into());
        let folder = tempfile::tempdir().unwrap();
        let mut first = worker(options(&settings), &folder.path().join("1"));
        assert!(!first.status.assignment_is_ready(), "{value}");
        first.own(1).await;
        assert!(first.status.assignment_is_ready(), "{value}");
        let mut second = worker(options(&settings), &folder.path().join("2"));
        let until = std::time::Instant::now() + PATIENCE;
        let serving = |rig: &Rig| rig.status.serving().len();
        while !(first.status.assignment_is_ready()
            && second.status.assignment_is_ready()
            && serving(&first) + serving(&second) == 1)
        {
            assert!(std::time::Instant::now() < until, "{value}");
            futures::join!(first.follow(), second.follow());
        }
    }
}

#[tokio::test]
async fn partitions_move_under_every_group_protocol() {
    for protocol in PROTOCOLS {
        let mut settings = fresh(&bootstrap(), 4).await;
        settings.properties.insert(protocol.0.into(), protocol.1.into());
        let folder = tempfile::tempdir().unwrap();
        let mut first = worker(options(&settings), &folder.path().join("1"));
        first.own(4).await;
        let mut second = worker(options(&settings), &folder.path().join("2"));
        futures::join!(first.own(2), second.own(2));
        let commit = |partition: Partition| Commit {
            states: vec![state(partition.0, 5)],
            offsets: vec![(partition, 0)],
            ..Commit::default()
        };
        for rig in [&mut first, &mut second] {
            for (partition, _) in rig.status.serving() {
                rig.committer.commit(commit(partition)).await.unwrap();
            }
        }
        drop(second);
        let restored = first.own(4).await;
        assert_eq!(restored.offsets.len(), 4);
        for partition in 0..4 {
            let product = ProductId::new("P").unwrap();
            let loaded = first.committer.load(&[(Partition(partition), product)]).await.unwrap();
            assert_eq!(loaded, [state(partition, 5)], "{protocol:?}");
        }
    }
}

#[tokio::test]
async fn a_commit_interrupted_by_a_broker_restart_happens_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut broker = servers::Own::kafka(&folder.path().join("broker")).unwrap();
    let settings = fresh(broker.address(), 1).await;
    let mut rig = worker(options(&settings), &folder.path().join("engine"));
    rig.own(1).await;
    let mut next = 0;
    for turn in 0..4 {
        for _ in 0..5 {
            let user = format!("u{next}");
            next = rig.insist(next, |offset| commit_of(offset, &[&user])).await;
        }
        if turn < 3 {
            broker.kill().unwrap();
            broker.restart().unwrap();
        }
    }
    let mut expected: Vec<String> = (0..next).map(|offset| format!("u{offset}")).collect();
    expected.sort();
    assert_eq!(told(&settings), expected);
}
