//! The dispatcher's side of Kafka keeps the promises of its seams.
#![allow(clippy::unwrap_used)]

mod kafka_dispatch_rig;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use kafka_dispatch_rig::{
    dead_letters, due, fresh, join, join_over, redis, serving, unique, until, value, write,
};
use pricedrop_adapters::kafka::{
    Acked, KafkaDeadLetters, KafkaIntake, KafkaNotifications, KafkaOutbox, KafkaReplays, KafkaRetries,
    MemoryRetryIndex, PostError, PostedRecord, Settings,
};
use pricedrop_model::dispatch::{DeadLetters, DeadWhat, NotificationLog, RetryQueue};
use pricedrop_model::notification::{Format, Renderer};
use pricedrop_model::seams::{Commit, CommitError, Committer, Error, Restored};
use pricedrop_model::{Partition, ProductId, ProductState, StateKey, WallTime};

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

mod log {
    use super::*;

    struct Log(Settings, Mutex<u32>);

    /// Writes what a committer tells, and nothing else.
    struct Teller(Settings);

    #[async_trait]
    impl Committer for Teller {
        async fn restore(&mut self) -> Result<Restored, Error> {
            Ok(Restored::default())
        }

        async fn load(
            &mut self,
            _products: &[(Partition, ProductId)],
        ) -> Result<Vec<(StateKey, ProductState)>, Error> {
            Ok(Vec::new())
        }

        async fn commit(&mut self, commit: Commit) -> Result<(), CommitError> {
            let mut values = Vec::new();
            for block in &commit.fan_outs {
                let mut renderer = Renderer::new(block, "price_updates", Format::Full);
                for (user, watch_price) in block.told.iter() {
                    let mut value = Vec::new();
                    renderer.write(&mut value, user, watch_price);
                    values.push(value);
                }
            }
            write(&self.0, &self.0.topics.notifications, 0, &values);
            Ok(())
        }
    }

    impl pricedrop_testing::conformance::log::Log for Log {
        type Committer = Teller;
        type Reader = KafkaNotifications;
        const WAIT_MS: u64 = 6_000;

        fn committer(&self) -> Teller {
            Teller(self.0.clone())
        }

        fn reader(&self) -> KafkaNotifications {
            let mut readers = self.1.lock().unwrap();
            *readers += 1;
            let index = Arc::new(MemoryRetryIndex::default());
            join_over(&self.0, &readers.to_string(), index).notifications(dead_letters(&self.0))
        }
    }

    async fn open() -> (Log, ()) {
        (Log(fresh(1).await, Mutex::new(0)), ())
    }

    pricedrop_testing::conform!(open, log);
}

#[tokio::test]
async fn a_record_that_is_no_notification_becomes_a_dead_letter_and_holds_up_nothing() {
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
    let items = dead.list(None, 10).await.unwrap();
    let at = |what: &DeadWhat| match what {
        DeadWhat::Notification { partition, offset, truncated, .. } => (*partition, *offset, *truncated),
        _ => panic!("{what:?}"),
    };
    assert_eq!(
        items.iter().map(|item| at(&item.what)).collect::<Vec<_>>(),
        [(0, 1, None), (0, 2, None), (0, 3, Some(100_054))]
    );
    assert!(items[1].reason.contains("productId"), "{}", items[1].reason);
}

#[tokio::test]
async fn a_replay_asked_of_anybody_is_taken_by_the_owner() {
    let settings = fresh(2).await;
    let dispatch = join(&settings, "a", &redis(&unique()));
    serving(&dispatch, 2).await;
    let elsewhere = KafkaReplays::new(&settings, Acked::new(&settings).unwrap());
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
async fn posts_land_by_product_and_are_answered_with_their_place() {
    let settings = fresh(4).await;
    let intake = KafkaIntake::new(&settings, Acked::new(&settings).unwrap());
    let update = |product: &str, price: u32| PostedRecord {
        key: None,
        value: Some(format!(r#"{{"productId":"{product}","newPrice":{price}}}"#).into()),
    };
    let tombstone = PostedRecord { key: Some("P2".into()), value: None };
    let posted =
        intake.post(vec![update("P1", 3), update("P2", 1), update("P1", 2), tombstone], None).await.unwrap();
    assert_eq!(posted[0].partition, posted[2].partition);
    assert_eq!(posted[2].offset, posted[0].offset + 1);
    assert_eq!(posted[1].partition, posted[3].partition);
    let unreadable = PostedRecord { key: None, value: Some("no JSON".into()) };
    assert_eq!(intake.post(vec![unreadable], None).await.unwrap().len(), 1);
    let refused = intake.post(vec![update("P1", 1)], Some(0)).await.unwrap_err();
    assert!(matches!(refused, PostError::Offset), "{refused}");
}

#[tokio::test]
async fn a_look_into_a_partition_goes_on_where_the_last_one_ended() {
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
