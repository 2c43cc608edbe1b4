//! The dispatcher's Kafka adapters pass the conformance suites of their ports.
#![allow(clippy::unwrap_used)]

mod dispatch_rig;
mod rig;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use dispatch_rig::{
    dead_letters, due, fresh, join, join_over, patiently, redis, serving, unique, until, value, write,
};
use pricedrop_kafka::{
    AckProducer, DispatchOptions, KafkaCommitter, KafkaDeadLetters, KafkaDispatch, KafkaIntake,
    KafkaNotifications, KafkaOutbox, KafkaReplays, KafkaRetries, MemoryRetryIndex, Settings, Start, Topics,
};
use pricedrop_model::dispatch::NotificationReader as _;
use pricedrop_model::dispatch::{
    DeadLetterId, DeadLetters, DeadWhat, NewDeadLetter, NotificationLog, RetryQueue,
};
use pricedrop_model::intake::{IntakeError, NewRecord, Posted, PriceIntake as _};
use pricedrop_model::ports::{Commit, Committer, RejectedRecord};
use pricedrop_model::{EventTime, Partition, Position, Record, WallTime};
use rig::{forget_group, move_group, options, worker};

mod retries_in_redis {
    use super::*;

    async fn open() -> (KafkaRetries, ()) {
        let dispatch = join(&fresh(1).await, "a", &redis(&unique()));
        serving(&dispatch, 1).await;
        (dispatch.retries(), ())
    }

    pricedrop_testing::conform!(open, retries);
}

mod retries_in_memory {
    use super::*;

    async fn open() -> (KafkaRetries, ()) {
        let dispatch = join_over(&fresh(1).await, "a", Arc::new(MemoryRetryIndex::default()));
        serving(&dispatch, 1).await;
        (dispatch.retries(), ())
    }

    pricedrop_testing::conform!(open, retries);
}

mod dead_letters_on_kafka {
    use super::*;

    async fn open() -> (KafkaDeadLetters, ()) {
        (dead_letters(&fresh(3).await), ())
    }

    pricedrop_testing::conform!(open, dead_letters);
}

/// The log suite, over the records that the real committer writes.
mod log {
    use super::*;

    struct Log {
        settings: Settings,
        committer: Mutex<Option<KafkaCommitter>>,
        readers: AtomicU32,
    }

    impl pricedrop_testing::conformance::log::Log for Log {
        type Committer = KafkaCommitter;
        type Reader = KafkaNotifications;
        const WAIT_MS: u64 = 6_000;

        fn source(&self) -> String {
            self.settings.topics.prices.clone()
        }

        fn committer(&self) -> KafkaCommitter {
            self.committer.lock().unwrap().take().unwrap()
        }

        fn reader(&self) -> KafkaNotifications {
            let reader = self.readers.fetch_add(1, Ordering::Relaxed).to_string();
            let index = Arc::new(MemoryRetryIndex::default());
            join_over(&self.settings, &reader, index).notifications(dead_letters(&self.settings))
        }
    }

    async fn open() -> (Log, impl Sized) {
        let settings = fresh(1).await;
        let folder = tempfile::tempdir().unwrap();
        let mut rig = worker(options(&settings), folder.path());
        rig.own(1).await;
        let committer = Mutex::new(Some(rig.committer));
        (Log { settings, committer, readers: AtomicU32::new(0) }, (rig.source, rig.instance_id, folder))
    }

    pricedrop_testing::conform!(open, log);
}

#[tokio::test]
async fn rejected_updates_are_listed_shown_and_removed_as_the_committer_wrote_them() {
    let settings = fresh(1).await;
    let folder = tempfile::tempdir().unwrap();
    let mut rig = worker(options(&settings), folder.path());
    rig.own(1).await;
    let rejected = |offset: i64, value: Option<Vec<u8>>, reason: &str| {
        let position = Position { partition: Partition(0), offset };
        let value = value.map(Into::into);
        let record =
            Record { position, key: Some("P".into()), value, timestamp: EventTime(0), original: None };
        RejectedRecord { record, reason: reason.into() }
    };
    const HUGE: usize = 1_048_000;
    let rejected_records = vec![
        rejected(0, Some(b"no JSON".to_vec()), "it is no JSON object"),
        rejected(1, Some(vec![b'x'; HUGE]), "no price"),
        rejected(2, Some(vec![b'y'; 70_000]), "no productId"),
    ];
    let offsets = vec![(Partition(0), 3)];
    rig.committer.commit(Commit { rejected_records, offsets, ..Commit::default() }).await.unwrap();
    let dead = dead_letters(&settings);
    let letters = dead.list(None, 10).await.unwrap();
    let seen: Vec<_> = letters
        .iter()
        .map(|letter| match &letter.what {
            DeadWhat::Update { partition, offset, key, value, truncated } => {
                assert_eq!((*partition, key.as_deref()), (0, Some("P")));
                (*offset, letter.reason.as_str(), value.as_ref().unwrap().len(), *truncated)
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        seen,
        [
            (0, "it is no JSON object", 7, None),
            (1, "no price", 65_536, Some(HUGE as u64)),
            (2, "no productId", 65_536, Some(70_000)),
        ]
    );
    for letter in &letters {
        assert_eq!(dead.get(&letter.id).await.unwrap().as_ref(), Some(letter));
        assert_eq!(*letter.id.topic, settings.topics.dead_updates);
    }
    dead.remove(&letters[1].id).await.unwrap();
    assert_eq!(dead.list(None, 10).await.unwrap(), [letters[0].clone(), letters[2].clone()]);
    assert_eq!(dead_letters(&settings).get(&letters[1].id).await.unwrap(), None);
}

fn undelivered(number: usize) -> NewDeadLetter {
    let retry = Box::new(due(&number.to_string(), 5));
    let what = DeadWhat::Delivery { retry, plugin: "mail@1".into() };
    NewDeadLetter { at: WallTime(1), reason: "no mailbox".into(), what }
}

#[tokio::test]
async fn pages_of_any_size_hold_the_dead_letters_of_all_partitions_of_both_topics_in_order() {
    let settings = fresh(2).await;
    let (updates, deliveries) = (&settings.topics.dead_updates, &settings.topics.dead_deliveries);
    let values: Vec<_> = (0..3).map(value).collect();
    for partition in 0..2 {
        write(&settings, updates, partition, &values);
    }
    let dead = dead_letters(&settings);
    dead.add((0..3).map(undelivered).collect()).await.unwrap();
    let mut expected: Vec<_> = [(updates, 0), (updates, 1), (deliveries, 0)]
        .into_iter()
        .flat_map(|(topic, partition)| (0..3).map(move |offset| format!("{topic}/{partition}/{offset}")))
        .map(|id| id.parse::<DeadLetterId>().unwrap())
        .collect();
    expected.sort();
    let replayed: [DeadLetterId; 2] =
        [format!("{updates}/1/1"), format!("{deliveries}/0/1")].map(|id| id.parse().unwrap());
    for id in &replayed {
        dead.remove(id).await.unwrap();
    }
    expected.retain(|id| !replayed.contains(id));
    for dead in [&dead, &dead_letters(&settings)] {
        for most in [1, 2, 100] {
            let mut ids: Vec<DeadLetterId> = Vec::new();
            loop {
                let page = dead.list(ids.last(), most).await.unwrap();
                ids.extend(page.iter().map(|letter| letter.id.clone()));
                if page.len() < most {
                    break;
                }
            }
            assert_eq!(ids, expected, "in pages of {most}");
        }
    }
}

#[tokio::test]
async fn a_record_that_is_not_a_notification_becomes_a_dead_letter_and_delays_nothing() {
    let settings = fresh(1).await;
    let huge = format!(r#"{{"userId":"u","productId":"P","newPrice":1,"title":"{}"}}"#, "x".repeat(100_000));
    let values =
        [value(1), b"no JSON".to_vec(), br#"{"userId":"u","newPrice":1}"#.to_vec(), huge.into(), value(2)];
    write(&settings, &settings.topics.notifications, 0, &values);
    let dispatch = join(&settings, "a", &redis(&unique()));
    let dead = dead_letters(&settings);
    let mut log = dispatch.notifications(dead.clone());
    let mut users = Vec::new();
    until("both notifications are read", async || {
        let batch = log.next_batch(10, 500).await.unwrap();
        users.extend(batch.into_iter().map(|(position, one)| (position.offset, one.user_id.to_string())));
        users.len() == 2
    })
    .await;
    assert_eq!(users, [(0, "u1".into()), (4, "u2".into())]);
    let letters = dead.list(None, 10).await.unwrap();
    let at = |what: &DeadWhat| match what {
        DeadWhat::Notification { partition, offset, truncated, .. } => (*partition, *offset, *truncated),
        _ => panic!("{what:?}"),
    };
    assert_eq!(
        letters.iter().map(|letter| at(&letter.what)).collect::<Vec<_>>(),
        [(0, 1, None), (0, 2, None), (0, 3, Some(100_054))]
    );
    assert!(letters[1].reason.contains("productId"), "{}", letters[1].reason);
}

#[tokio::test]
async fn a_replay_requested_at_any_instance_is_done_by_the_owner() {
    let settings = fresh(2).await;
    let dispatch = join(&settings, "a", &redis(&unique()));
    serving(&dispatch, 2).await;
    let elsewhere = KafkaReplays::new(&settings, AckProducer::new(&settings).unwrap());
    let retry = pricedrop_model::dispatch::Retry { partition: Partition(1), ..due("k", 5) };
    elsewhere.put(vec![retry.clone()]).await.unwrap();
    let retries = dispatch.retries();
    let mut taken = Vec::new();
    until("it is taken", async || {
        taken = retries.take("mail", WallTime(9), WallTime(99), 10).await.unwrap();
        !taken.is_empty()
    })
    .await;
    assert_eq!(taken, [retry]);
}

#[tokio::test]
async fn posts_are_partitioned_by_product_and_answered_with_their_position() {
    let settings = fresh(4).await;
    let intake = KafkaIntake::new(&settings, AckProducer::new(&settings).unwrap());
    let update = |product: &str, price: u32| NewRecord {
        key: None,
        value: Some(format!(r#"{{"productId":"{product}","newPrice":{price}}}"#).into()),
    };
    let tombstone = NewRecord { key: Some("P2".into()), value: None };
    let posted =
        intake.post(vec![update("P1", 3), update("P2", 1), update("P1", 2), tombstone], None).await.unwrap();
    let posted: Vec<Position> = posted.iter().map(Posted::position).collect();
    assert_eq!(posted[0].partition, posted[2].partition);
    assert_eq!(posted[2].offset, posted[0].offset + 1);
    assert_eq!(posted[1].partition, posted[3].partition);
    let unreadable = NewRecord { key: None, value: Some("no JSON".into()) };
    assert_eq!(intake.post(vec![unreadable], None).await.unwrap().len(), 1);
    let refused = intake.post(vec![update("P1", 1)], Some(0)).await.unwrap_err();
    assert!(matches!(refused, IntakeError::NoOffset(_)), "{refused}");
}

#[tokio::test]
async fn reading_a_partition_again_continues_where_the_last_read_ended() {
    let settings = fresh(2).await;
    let values: Vec<Vec<u8>> = (0..5).map(value).collect();
    write(&settings, &settings.topics.notifications, 1, &values);
    let outbox = KafkaOutbox::new(&settings);
    assert_eq!(outbox.partitions().await.unwrap(), 2);
    assert_eq!(outbox.read(Partition(0), 0, 10).await.unwrap(), (Vec::new(), 0));
    let (first, next) = outbox.read(Partition(1), 0, 3).await.unwrap();
    let (rest, end) = outbox.read(Partition(1), next, 10).await.unwrap();
    let lines: Vec<u8> = values.iter().flat_map(|value| [value.as_slice(), b"\n"].concat()).collect();
    assert_eq!([first, rest].concat(), lines);
    assert_eq!((next, end), (3, 5));
    assert_eq!(outbox.read(Partition(1), end, 10).await.unwrap(), (Vec::new(), 5));
    assert_eq!(outbox.read(Partition(7), 0, 10).await.unwrap(), (Vec::new(), 0));
}

/// Joins a group that starts at the end if it has no offset, and waits until its partition is acquired.
async fn join_at_the_end(settings: &Settings) -> KafkaDispatch {
    let options = DispatchOptions {
        settings: settings.clone(),
        transactional_id: settings.group.clone(),
        start: Some(Start::Latest),
        index: Arc::new(MemoryRetryIndex::default()),
    };
    let dispatch = KafkaDispatch::join(options).unwrap();
    serving(&dispatch, 1).await;
    dispatch
}

/// Returns the offset of the first notification that it reads.
async fn first(dispatch: &KafkaDispatch, settings: &Settings) -> i64 {
    let mut log = dispatch.notifications(dead_letters(settings));
    let mut first = None;
    until("a notification is read", async || {
        first = log.next_batch(1, 200).await.unwrap().first().map(|(position, _)| position.offset);
        first.is_some()
    })
    .await;
    first.unwrap()
}

#[tokio::test]
async fn a_dispatcher_whose_offset_is_lost_or_past_the_end_skips_nothing() {
    let settings = fresh(1).await;
    let dispatch = join_at_the_end(&settings).await;
    write(&settings, &settings.topics.notifications, 0, &[value(0), value(1)]);
    let mut log = dispatch.notifications(dead_letters(&settings));
    patiently(async || log.commit(&[(Partition(0), 1)]).await).await;
    drop((log, dispatch));
    // Tools see the dispatchers' group under this name.
    let mut tools = Settings { group: format!("{}.dispatcher", settings.group), ..settings.clone() };
    tools.topics = Topics { prices: settings.topics.notifications.clone(), ..settings.topics.clone() };
    forget_group(&tools).await;
    assert_eq!(first(&join_at_the_end(&settings).await, &settings).await, 0);
    move_group(&tools, 99).await;
    assert_eq!(first(&join_at_the_end(&settings).await, &settings).await, 0);
    // Another group is independent of what this one has read.
    let other = Settings { group: unique(), ..settings.clone() };
    let dispatch = join_at_the_end(&other).await;
    write(&settings, &settings.topics.notifications, 0, &[value(2)]);
    assert_eq!(first(&dispatch, &other).await, 2);
}
