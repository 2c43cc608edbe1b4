//! Dispatchers over Kafka and Redis while members join, leave, are paused and killed, and while
//! servers restart and lose data.
#![allow(clippy::unwrap_used)]

mod dispatch_rig;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dispatch_rig::{
    Office, PATIENCE, due, fresh, join, leave_open, patiently, redis, redis_at, serving, settings, unique,
    until, value, write,
};
use pricedrop_harness::servers::{self, Own};
use pricedrop_kafka::topics::{NewTopics, apply};
use pricedrop_kafka::{KafkaDispatch, Settings};
use pricedrop_model::dispatch::{Claim, Leases, NotificationLog, Retry, RetryQueue};
use pricedrop_model::ports::Error;
use pricedrop_model::{Clock, Partition, WallTime, time::SystemClock};
use pricedrop_redis::{Redis, RedisLeases};
use tokio::sync::watch;
use tokio::time::{Instant, interval, interval_at};

/// The pause between two checks of all leases.
const BREAK: Duration = Duration::from_millis(200);

const PARTITIONS: i32 = 4;
/// The environment variable with the arguments of a child process, separated by spaces: which
/// function it runs (`office` or `stubborn`), the bootstrap servers, the consumer group (also the
/// topic prefix), the address of Redis, and the prefix of the keys in Redis.
const CHILD: &str = "PRICEDROP_DISPATCH_TEST_CHILD";

/// Writes notifications `from..to`, spread over the partitions.
fn notify(settings: &Settings, from: usize, to: usize) {
    for partition in 0..PARTITIONS as usize {
        let own = (from..to).filter(|n| n % PARTITIONS as usize == partition);
        let values: Vec<Vec<u8>> = own.map(value).collect();
        write(settings, &settings.topics.notifications, partition as i32, &values);
    }
}

fn delivery(n: usize) -> String {
    format!("00000000-0000-8000-8000-{n:012}:mail:u{n}")
}

/// Waits until this many deliveries are confirmed.
async fn confirmed(redis: &Redis, count: usize) {
    let leases = RedisLeases::new(redis);
    let keys: Vec<String> = (0..count).map(delivery).collect();
    until("every delivery is confirmed", async || {
        // A claim that expires at once does not block the dispatchers.
        let now = SystemClock.now();
        let Ok(claims) = leases.claim(&keys, now, now).await else { return false };
        // Without a pause these claims would keep the dispatchers from claiming.
        interval_at(Instant::now() + BREAK, BREAK).tick().await;
        claims.iter().all(|claim| *claim == Claim::Delivered)
    })
    .await;
}

fn times(sent: &Mutex<Vec<String>>) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for key in sent.lock().unwrap().iter() {
        *times.entry(key.clone()).or_insert(0) += 1;
    }
    times
}

fn repeated(sent: &Mutex<Vec<String>>) -> Vec<(String, usize)> {
    times(sent).into_iter().filter(|(_, times)| *times > 1).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn dispatchers_that_join_and_leave_send_every_delivery_once() {
    const ALL: usize = 4_000;
    let (settings, redis) = (fresh(PARTITIONS).await, redis(&unique()));
    let sent = Arc::new(Mutex::new(Vec::new()));
    let open = |instance: &str| {
        let (stop, stopped) = watch::channel(false);
        let office = Office::open(&settings, instance, &redis, &sent);
        (stop, tokio::spawn(office.run(stopped)))
    };
    let first = open("first");
    notify(&settings, 0, ALL / 4);
    until("some are sent", async || sent.lock().unwrap().len() > 100).await;
    let second = open("second");
    notify(&settings, ALL / 4, ALL / 2);
    until("half is sent", async || sent.lock().unwrap().len() >= ALL / 2).await;
    notify(&settings, ALL / 2, 3 * ALL / 4);
    first.0.send(true).unwrap();
    first.1.await.unwrap();
    let third = open("third");
    notify(&settings, 3 * ALL / 4, ALL);
    confirmed(&redis, ALL).await;
    for office in [second, third] {
        office.0.send(true).unwrap();
        office.1.await.unwrap();
    }
    assert_eq!(times(&sent).len(), ALL);
    assert_eq!(repeated(&sent), []);
}

/// A child process, and the lines it prints.
struct Other {
    process: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Other {
    fn start(part: &str, settings: &Settings, prefix: &str) -> Other {
        let bootstrap = &settings.properties["bootstrap.servers"];
        let words = [part, bootstrap, &settings.group, &servers::redis(), prefix].join(" ");
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_other_process", "--nocapture", "--test-threads", "1"])
            .env(CHILD, words)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (lines, out) = (Arc::new(Mutex::new(Vec::new())), process.stdout.take().unwrap());
        let seen = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                seen.lock().unwrap().push(line);
            }
        });
        Other { process, lines }
    }

    fn said(&self, word: &str) -> Vec<String> {
        let lines = self.lines.lock().unwrap();
        lines.iter().filter_map(|line| line.strip_prefix(word)).map(|rest| rest.trim().to_owned()).collect()
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.process.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

/// Runs as the child process of other tests; by itself it tests nothing.
#[tokio::test(flavor = "multi_thread")]
async fn the_other_process() {
    let Ok(words) = std::env::var(CHILD) else { return };
    let words: Vec<&str> = words.split(' ').collect();
    let [part, bootstrap, name, redis, prefix] = words[..] else { panic!("{words:?}") };
    let (settings, redis) = (settings(bootstrap, name), redis_at(redis, prefix));
    match part {
        "office" => work(&settings, &redis).await,
        _ => insist(&settings, &redis).await,
    }
}

/// Delivers until it is killed, and prints what it sends.
async fn work(settings: &Settings, redis: &Redis) {
    let sent = Arc::new(Mutex::new(Vec::new()));
    let (_stop, stopped) = watch::channel(false);
    tokio::spawn(Office::open(settings, "other", redis, &sent).run(stopped));
    let (mut said, mut pace) = (0, interval(Duration::from_millis(1)));
    loop {
        let new: Vec<String> = sent.lock().unwrap()[said..].to_vec();
        said += new.len();
        new.iter().for_each(|key| say(&format!("sent {key}")));
        pace.tick().await;
    }
}

/// Writes its old retry and its old offset again and again.
async fn insist(settings: &Settings, redis: &Redis) {
    let dispatch = join(settings, "other", redis);
    let mut log = dispatch.notifications(dispatch_rig::dead_letters(settings));
    let retries = dispatch.retries();
    serving(&dispatch, 1).await;
    let mut pace = interval(Duration::from_millis(20));
    loop {
        let put = retries.put(vec![Retry { attempt: 1, ..due("k", 7) }]).await;
        let committed = log.commit(&[(Partition(0), 1)]).await;
        match (put, committed) {
            (Ok(()), Ok(())) => say(&format!("wrote {}", dispatch.serving().len())),
            (put, committed) => say(&format!("failed {put:?} {committed:?}")),
        }
        pace.tick().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_dispatcher_leaves_nothing_undelivered_and_little_to_repeat() {
    const ALL: usize = 3_000;
    let (settings, prefix) = (fresh(PARTITIONS).await, unique());
    let redis = redis(&prefix);
    let sent = Arc::new(Mutex::new(Vec::new()));
    let (stop, stopped) = watch::channel(false);
    let here = tokio::spawn(Office::open(&settings, "here", &redis, &sent).run(stopped));
    let mut others = Vec::new();
    for round in 0..3 {
        let other = Other::start("office", &settings, &prefix);
        let mut next = round * ALL / 3;
        until("the other sends, too", async || {
            // In parts, because the new dispatcher may not have its partitions yet.
            let part = next..((round + 1) * ALL / 3).min(next + 20);
            next = part.end;
            notify(&settings, part.start, part.end);
            !other.said("sent ").is_empty() || round > 0
        })
        .await;
        notify(&settings, next, (round + 1) * ALL / 3);
        other.signal("-KILL");
        others.push(other);
    }
    confirmed(&redis, ALL).await;
    stop.send(true).unwrap();
    here.await.unwrap();
    for other in &others {
        sent.lock().unwrap().extend(other.said("sent "));
    }
    // At most the deliveries in flight at each kill are repeated: one batch each.
    let repeated = repeated(&sent);
    assert!(repeated.len() <= 3 * 50, "{} of {ALL}", repeated.len());
    assert!(repeated.iter().all(|(_, times)| *times == 2), "{repeated:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_paused_past_its_session_can_neither_commit_nor_overwrite() {
    let (settings, prefix) = (fresh(1).await, unique());
    write(&settings, &settings.topics.notifications, 0, &(0..50).map(value).collect::<Vec<_>>());
    let redis = redis(&prefix);
    let other = Other::start("stubborn", &settings, &prefix);
    until("the other owns the partition", async || other.said("wrote 1").len() > 5).await;
    other.signal("-STOP");
    let dispatch = join(&settings, "here", &redis);
    serving(&dispatch, 1).await;
    let retries = dispatch.retries();
    let mut log = dispatch.notifications(dispatch_rig::dead_letters(&settings));
    patiently(async || retries.put(vec![Retry { attempt: 5, ..due("k", 9) }]).await).await;
    patiently(async || retries.remove(&[due("k", 9)]).await).await;
    patiently(async || log.commit(&[(Partition(0), 50)]).await).await;
    let before = other.lines.lock().unwrap().len();
    other.signal("-CONT");
    until("the other tried again", async || other.lines.lock().unwrap().len() > before + 20).await;
    drop(other);
    assert!(retries.waiting().await.unwrap().iter().all(|(_, waiting)| *waiting == 0));
    drop((dispatch, retries, log));
    // The next member reads what was committed, and no partition is blocked.
    let next = join(&settings, "next", &redis);
    serving(&next, 1).await;
    let mut log = next.notifications(dispatch_rig::dead_letters(&settings));
    assert_eq!(log.next_batch(100, 2_000).await.unwrap(), []);
    assert!(next.retries().waiting().await.unwrap().iter().all(|(_, waiting)| *waiting == 0));
}

async fn take_all(dispatch: &KafkaDispatch, count: usize) {
    let retries = dispatch.retries();
    let mut keys = std::collections::BTreeSet::new();
    until("all are taken", async || {
        let taken = retries.take("mail", WallTime(1_000), WallTime(9_000), 1_000).await;
        keys.extend(taken.unwrap_or_default().into_iter().map(|retry| retry.key));
        keys.len() >= count
    })
    .await;
    assert_eq!(keys.len(), count);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flushed_redis_loses_no_retry() {
    let folder = tempfile::tempdir().unwrap();
    let mut own = Own::redis(folder.path()).unwrap();
    let (settings, redis) = (fresh(2).await, redis_at(own.address(), "p"));
    let dispatch = join(&settings, "a", &redis);
    serving(&dispatch, 2).await;
    let retries = dispatch.retries();
    let entry = |n: i64| Retry { partition: Partition((n % 2) as i32), ..due(&format!("k{n}"), n) };
    patiently(async || retries.put((0..500).map(entry).collect()).await).await;
    flush(own.address());
    // The loss is noticed at the next read, or by the next write.
    take_all(&dispatch, 500).await;
    flush(own.address());
    patiently(async || retries.put((500..600).map(entry).collect()).await).await;
    patiently(async || retries.remove(&(0..100).map(entry).collect::<Vec<_>>()).await).await;
    take_all(&dispatch, 500).await;
    own.kill().unwrap();
    // The topic is authoritative: what is written meanwhile is not lost.
    patiently(async || retries.put((600..700).map(entry).collect()).await).await;
    own.start().unwrap();
    take_all(&dispatch, 600).await;
}

fn flush(address: &str) {
    pricedrop_harness::redis::administer(address, &["FLUSHALL".into()]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_broker_loses_and_repeats_nothing() {
    const ALL: usize = 2_000;
    let folder = tempfile::tempdir().unwrap();
    let mut own = Own::kafka(folder.path()).unwrap();
    let settings = settings(own.address(), &unique());
    apply(&settings, NewTopics { partitions: PARTITIONS, replication: 1 }).await.unwrap();
    let redis = redis(&unique());
    let sent = Arc::new(Mutex::new(Vec::new()));
    let (stop, stopped) = watch::channel(false);
    let office = tokio::spawn(Office::open(&settings, "a", &redis, &sent).run(stopped));
    notify(&settings, 0, ALL / 2);
    until("some are sent", async || sent.lock().unwrap().len() > 100).await;
    own.kill().unwrap();
    own.start().unwrap();
    notify(&settings, ALL / 2, ALL);
    confirmed(&redis, ALL).await;
    stop.send(true).unwrap();
    office.await.unwrap();
    assert_eq!(times(&sent).len(), ALL);
    assert_eq!(repeated(&sent), []);
}

/// A broker that restarts and finds an expired transaction may not end it in a partition that
/// has no leader yet. The offsets there stay undecided for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_left_open_by_the_broker_blocks_no_reader() {
    const ALL: usize = 200;
    let folder = tempfile::tempdir().unwrap();
    let mut own = Own::kafka(folder.path()).unwrap();
    let settings = settings(own.address(), &unique());
    apply(&settings, NewTopics { partitions: PARTITIONS, replication: 1 }).await.unwrap();
    notify(&settings, 0, ALL);
    leave_open(&settings, "a", &due("left open", 0));
    own.kill().unwrap();
    own.start().unwrap();
    let redis = redis(&unique());
    let sent = Arc::new(Mutex::new(Vec::new()));
    let (stop, stopped) = watch::channel(false);
    let office = tokio::spawn(Office::open(&settings, "a", &redis, &sent).run(stopped));
    confirmed(&redis, ALL).await;
    stop.send(true).unwrap();
    office.await.unwrap();
    // Nothing of the open transaction took effect: no offset, no retry.
    assert_eq!(times(&sent).len(), ALL);
    assert_eq!(repeated(&sent), []);
}

#[tokio::test]
async fn a_new_group_of_a_topic_with_records_needs_a_decision_where_to_start() {
    let settings = fresh(1).await;
    write(&settings, &settings.topics.notifications, 0, &[value(1)]);
    let dispatch = KafkaDispatch::join(pricedrop_kafka::DispatchOptions {
        settings: settings.clone(),
        transactional_id: settings.group.clone(),
        start: None,
        index: Arc::new(pricedrop_kafka::MemoryRetryIndex::default()),
    })
    .unwrap();
    let mut log = dispatch.notifications(dispatch_rig::dead_letters(&settings));
    let asked = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Err(Error::Fatal(reason)) = log.next_batch(1, 200).await {
                return reason.to_string();
            }
        }
    });
    let reason = asked.await.unwrap();
    assert!(reason.contains("for the first time") && reason.contains("stream.start"), "{reason}");
}
