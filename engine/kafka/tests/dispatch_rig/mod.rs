//! Dispatchers over a real Kafka and Redis, with unique topics for each test.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pricedrop_harness::servers;
use pricedrop_kafka::topics::{NewTopics, apply};
use pricedrop_kafka::{
    AckProducer, DispatchOptions, KafkaDeadLetters, KafkaDispatch, KafkaNotifications, KafkaRetries,
    Settings, Start, Topics,
};
use pricedrop_model::dispatch::{Claim, Leases, NotificationLog, Retry, RetryQueue};
use pricedrop_model::ports::Error;
use pricedrop_model::retry_index::RetryIndex;
use pricedrop_model::{Clock, Notification, Partition, WallTime, time::SystemClock};
use pricedrop_redis::{Options, Redis, RedisLeases, RedisRetryIndex};
use pricedrop_testing::conformance::retries::retry;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::sync::watch;

/// Longest wait for anything.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How long a lease lasts, in milliseconds.
pub const LEASE_MS: i64 = 3_000;

/// Returns a unique name.
pub fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let started = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    format!("d{started}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Returns settings whose topics and groups have this prefix.
pub fn settings(bootstrap: &str, name: &str) -> Settings {
    let mut settings = Settings::new(bootstrap);
    settings.topics = Topics::prefixed(name);
    settings.group = name.to_owned();
    settings.properties.insert("session.timeout.ms".into(), "6000".into());
    settings.properties.insert("heartbeat.interval.ms".into(), "500".into());
    settings
}

/// Creates topics for one test alone in the shared Kafka.
pub async fn fresh(partitions: i32) -> Settings {
    let settings = settings(&servers::kafka(), &unique());
    apply(&settings, NewTopics { partitions, replication: 1 }).await.unwrap();
    settings
}

/// Returns the shared Redis with this key prefix.
pub fn redis(prefix: &str) -> Redis {
    redis_at(&servers::redis(), prefix)
}

pub fn redis_at(address: &str, prefix: &str) -> Redis {
    let addresses = vec![address.parse().unwrap()];
    Redis::new(Options { addresses, prefix: prefix.into(), timeout_ms: 5_000, ..Options::default() }).unwrap()
}

/// Joins as the instance of this name, with the retry index in this Redis.
pub fn join(settings: &Settings, instance: &str, redis: &Redis) -> KafkaDispatch {
    join_over(settings, instance, Arc::new(RedisRetryIndex::new(redis)))
}

pub fn join_over(settings: &Settings, instance: &str, index: Arc<dyn RetryIndex>) -> KafkaDispatch {
    let transactional_id = format!("{}-{instance}", settings.group);
    let start = Some(Start::Earliest);
    KafkaDispatch::join(DispatchOptions { settings: settings.clone(), transactional_id, start, index })
        .unwrap()
}

pub fn dead_letters(settings: &Settings) -> KafkaDeadLetters {
    KafkaDeadLetters::new(settings, AckProducer::new(settings).unwrap())
}

/// Waits until this many partitions are acquired.
pub async fn serving(dispatch: &KafkaDispatch, partitions: usize) {
    until("partitions are served", async || dispatch.serving().len() == partitions).await;
}

/// Polls until the condition holds; fails with these words if it does not in time.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "waited for: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Retries a call until it succeeds.
pub async fn patiently<T>(mut call: impl AsyncFnMut() -> Result<T, Error>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match call().await {
            Ok(value) => return value,
            Err(Error::Fatal(reason)) => panic!("{reason}"),
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Writes records into a partition, each acknowledged.
pub fn write(settings: &Settings, topic: &str, partition: i32, values: &[Vec<u8>]) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &settings.properties["bootstrap.servers"]).set("acks", "all");
    let producer: BaseProducer = config.create().unwrap();
    for value in values {
        producer.send(BaseRecord::<(), [u8]>::to(topic).partition(partition).payload(value)).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}

/// Begins a transaction as this instance's dispatcher would, with offsets and a retry, and leaves it open.
pub fn leave_open(settings: &Settings, instance: &str, retry: &Retry) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &settings.properties["bootstrap.servers"]);
    let group = format!("{}.dispatcher", settings.group);
    let consumer: BaseConsumer = config.clone().set("group.id", group).create().unwrap();
    config.set("transactional.id", format!("{}-{instance}", settings.group));
    let producer: BaseProducer = config.set("transaction.timeout.ms", "1000").create().unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    producer.begin_transaction().unwrap();
    let entry = serde_json::to_vec(retry).unwrap();
    let record = BaseRecord::to(&settings.topics.retries).partition(0).key(&retry.key).payload(&entry);
    producer.send(record).unwrap();
    producer.flush(PATIENCE).unwrap();
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(&settings.topics.notifications, 0, Offset::Offset(30)).unwrap();
    let group = consumer.group_metadata().unwrap();
    producer.send_offsets_to_transaction(&offsets, &group, PATIENCE).unwrap();
    std::mem::forget(producer);
}

/// Returns the value of notification number `n`.
pub fn value(n: usize) -> Vec<u8> {
    let id = format!("00000000-0000-8000-8000-{n:012}");
    format!(r#"{{"userId":"u{n}","productId":"P","newPrice":1,"id":"{id}","watchPrice":2}}"#).into_bytes()
}

/// Returns the delivery key of a notification.
pub fn key(notification: &Notification) -> String {
    format!("{}:mail:{}", notification.id.as_ref().unwrap().0, notification.user_id)
}

pub fn due(key: &str, at: i64) -> Retry {
    retry(key, "mail", at)
}

/// Retries a call until it succeeds. Panics if the error is `Fatal`.
macro_rules! ask {
    ($call:expr) => {
        loop {
            match $call.await {
                Ok(value) => break value,
                Err(Error::Fatal(reason)) => panic!("{reason}"),
                Err(_) => {
                    let _ =
                        tokio::time::timeout(Duration::from_millis(50), std::future::pending::<()>()).await;
                }
            }
        }
    };
}

/// A small dispatcher: claims, sends and confirms. Deliveries that another one has leased
/// go into the retry queue.
pub struct Office {
    pub log: KafkaNotifications,
    pub retries: KafkaRetries,
    pub leases: RedisLeases,
    /// The keys of the deliveries that were sent, in order.
    pub sent: Arc<Mutex<Vec<String>>>,
}

impl Office {
    pub fn open(
        settings: &Settings,
        instance: &str,
        redis: &Redis,
        sent: &Arc<Mutex<Vec<String>>>,
    ) -> Office {
        let dispatch = join(settings, instance, redis);
        Office {
            log: dispatch.notifications(dead_letters(settings)),
            retries: dispatch.retries(),
            leases: RedisLeases::new(redis),
            sent: sent.clone(),
        }
    }

    /// Runs until it is stopped.
    pub async fn run(mut self, stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            let batch = match self.log.next_batch(50, 100).await {
                Ok(batch) => batch,
                Err(Error::Fatal(reason)) => panic!("{reason}"),
                Err(_) => continue,
            };
            let mut next: BTreeMap<Partition, i64> = BTreeMap::new();
            let mut jobs = Vec::new();
            for (position, notification) in batch {
                next.insert(position.partition, position.offset + 1);
                jobs.push(Retry {
                    partition: position.partition,
                    notification: notification.clone(),
                    ..due(&key(&notification), 0)
                });
            }
            self.deliver(jobs, false).await;
            let next: Vec<_> = next.into_iter().collect();
            if !next.is_empty() {
                let _ = self.log.commit(&next).await;
            }
            let now = SystemClock.now();
            let again = self.retries.take("mail", now, WallTime(now.0 + LEASE_MS), 50).await;
            self.deliver(again.unwrap_or_default(), true).await;
        }
    }

    async fn deliver(&self, jobs: Vec<Retry>, queued: bool) {
        if jobs.is_empty() {
            return;
        }
        let now = SystemClock.now();
        let keys: Vec<String> = jobs.iter().map(|job| job.key.clone()).collect();
        let until = WallTime(now.0 + LEASE_MS);
        let claims = ask!(self.leases.claim(&keys, now, until));
        let (mut ours, mut wait, mut done) = (Vec::new(), Vec::new(), Vec::new());
        for (job, claim) in jobs.into_iter().zip(claims) {
            match claim {
                Claim::Yours => {
                    self.sent.lock().unwrap().push(job.key.clone());
                    ours.push(job.key.clone());
                    done.push(job);
                }
                Claim::Leased(until) => wait.push(Retry { due: until, ..job }),
                Claim::Delivered => done.push(job),
            }
        }
        ask!(self.leases.confirm(&ours, now));
        if !wait.is_empty() {
            ask!(self.retries.put(wait.clone()));
        }
        if queued && !done.is_empty() {
            ask!(self.retries.remove(&done));
        }
    }
}
