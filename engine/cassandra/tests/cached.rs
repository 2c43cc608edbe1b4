//! A real Redis in front of a real Cassandra, with two engines, each with writers and readers,
//! while Redis is killed, flushed and paused at random. No acknowledged watch is missed by a later
//! read, and no deleted one is found, except before the `effectiveBy` that its writer received.
#![allow(clippy::unwrap_used)]

mod rig;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pricedrop_cassandra::limits::WRITE_MARGIN_MS;
use pricedrop_cassandra::{Cassandra, CassandraWatches, Options};
use pricedrop_harness::servers::Own;
use pricedrop_model::plugin::Bucketing;
use pricedrop_model::ports::{PolicyRegistry, Scan, WatchStore, WatchWriter};
use pricedrop_model::{BucketId, Price, ProductId, UserId, WallTime};
use pricedrop_redis::{Options as RedisOptions, Redis, RedisWatchCache};
use pricedrop_testing::conformance::watches::{from_price, rows, watch};
use rig::{INDEXED, Serving, Steps, options};

const LARGE: &str = "large";
const PRODUCTS: [&str; 3] = ["small-1", "small-2", LARGE];
const USERS: u64 = 8;
const WRITERS: usize = 3;
/// The TTL of cached lists: short, so that every `effectiveBy` passes during the test.
const TTL_MS: u64 = 2_000;

/// Returns a number below `sides` (xorshift64).
fn roll(dice: &mut u64, sides: u64) -> u64 {
    *dice ^= *dice << 13;
    *dice ^= *dice >> 7;
    *dice ^= *dice << 17;
    *dice % sides
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

type Key = (&'static str, Price, String);

/// What the test knows of a row.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Known {
    /// Counts the starts and ends of writes.
    turn: u64,
    /// Whether it exists; `None`: a write is running, or its outcome is unknown.
    there: Option<bool>,
    /// The time from which every read must see it, epoch milliseconds.
    from_ms: i64,
}

#[derive(Default)]
struct World {
    rows: Mutex<HashMap<Key, Known>>,
    reads: AtomicU64,
    checked: AtomicU64,
    announced: AtomicU64,
    failed: AtomicU64,
    over: AtomicBool,
}

impl World {
    fn begin(&self, key: &Key) {
        let mut rows = self.rows.lock().unwrap();
        let known = rows.entry(key.clone()).or_insert(Known { turn: 0, there: None, from_ms: 0 });
        *known = Known { turn: known.turn + 1, there: None, from_ms: 0 };
    }

    fn end(&self, key: &Key, there: Option<bool>, effective_by: Option<WallTime>) {
        let mut rows = self.rows.lock().unwrap();
        let known = rows.get_mut(key).unwrap();
        let from_ms = effective_by.map_or(0, |by| by.0).max(now_ms());
        *known = Known { turn: known.turn + 1, there, from_ms };
        self.announced.fetch_add(u64::from(effective_by.is_some()), Ordering::Relaxed);
        self.failed.fetch_add(u64::from(there.is_none()), Ordering::Relaxed);
    }

    fn snapshot(&self, product: &str) -> HashMap<Key, Known> {
        let rows = self.rows.lock().unwrap();
        rows.iter().filter(|(key, _)| key.0 == product).map(|(key, known)| (key.clone(), *known)).collect()
    }

    /// Writes and deletes rows that no other writer touches.
    async fn write(&self, number: usize, watches: CassandraWatches, mut dice: u64) {
        while !self.over.load(Ordering::Relaxed) {
            let product = PRODUCTS[roll(&mut dice, 3) as usize];
            let one = |dice: &mut u64| {
                let user = format!("w{number}-{}", roll(dice, USERS));
                let price = Price::parse(&format!("{}", 10 * (1 + roll(dice, 6)))).unwrap();
                (product, price, user)
            };
            if roll(&mut dice, 3) == 0 {
                let key = one(&mut dice);
                self.begin(&key);
                let (name, user) = (ProductId::new(product).unwrap(), UserId::new(&key.2).unwrap());
                let deleted = watches.delete(&name, key.1, &user).await;
                let by = deleted.as_ref().ok().and_then(|deleted| deleted.effective_by);
                self.end(&key, deleted.is_ok().then_some(false), by);
            } else {
                let keys: HashSet<Key> = (0..=roll(&mut dice, 4)).map(|_| one(&mut dice)).collect();
                keys.iter().for_each(|key| self.begin(key));
                let all = keys.iter().map(|(product, price, user)| watch(product, &price.to_string(), user));
                let written = watches.put(all.collect()).await;
                let by = written.as_ref().ok().and_then(|written| written.effective_by);
                keys.iter().for_each(|key| self.end(key, written.is_ok().then_some(true), by));
            }
        }
    }

    /// Reads a product from a random price on, and compares the rows with those whose state was
    /// known and unchanged during the read.
    async fn read(&self, watches: CassandraWatches, policy: Arc<Steps>, mut dice: u64) {
        while !self.over.load(Ordering::Relaxed) {
            let product = PRODUCTS[roll(&mut dice, 3) as usize];
            let name = ProductId::new(product).unwrap();
            let from = format!("{}", roll(&mut dice, 65));
            let scan = from_price(&name, &from);
            let bucket = (&*policy.identity().name, policy.bucket(scan.from));
            let scan = Scan { buckets: (product == LARGE).then_some(bucket), ..scan };
            let (began_ms, before) = (now_ms(), self.snapshot(product));
            let mut view = watches.view().await.unwrap();
            let read = rows(&mut *view, scan.clone(), 50).await;
            let after = self.snapshot(product);
            let found: HashSet<(Price, String)> = read.into_iter().map(|row| (row.0, row.1)).collect();
            for (key, known) in before.into_iter().filter(|(key, _)| key.1 >= scan.from) {
                if after.get(&key) != Some(&known) || known.from_ms >= began_ms {
                    continue;
                }
                let Some(there) = known.there else { continue };
                let seen = found.contains(&(key.1, key.2.clone()));
                assert_eq!(seen, there, "{key:?}, known {} ms before the read", began_ms - known.from_ms);
                self.checked.fetch_add(1, Ordering::Relaxed);
            }
            self.reads.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn pause(most_ms: u64, dice: &mut u64) {
    let pause = Duration::from_millis(50 + roll(dice, most_ms));
    tokio::time::interval_at(tokio::time::Instant::now() + pause, pause).tick().await;
}

/// Injects faults into Redis. Returns how often each was injected.
async fn strike(mut redis: Own, seconds: u64, mut dice: u64) -> [u32; 4] {
    let (began, mut counts) = (Instant::now(), [0; 4]);
    while began.elapsed() < Duration::from_secs(seconds) {
        pause(1_500, &mut dice).await;
        let what = roll(&mut dice, 4) as usize;
        counts[what] += 1;
        match what {
            0 => {
                redis.kill().unwrap();
                pause(600, &mut dice).await;
                redis.start().unwrap();
            }
            1 => {
                redis.all().pause().unwrap();
                pause(1_200, &mut dice).await;
                redis.all().resume().unwrap();
            }
            2 => redis.restart().unwrap(),
            _ => pricedrop_harness::redis::administer(redis.address(), &["FLUSHALL".to_owned()]).unwrap(),
        }
    }
    counts
}

/// Starts an engine's stores: a session of its own with each server.
async fn engine(
    tables: &Options,
    redis: &Own,
    policy: &Arc<Steps>,
    options: RedisOptions,
) -> (Cassandra, Redis) {
    let addresses = vec![redis.address().parse().unwrap()];
    let redis = Redis::new(RedisOptions { addresses, ..options }).unwrap();
    let cache = Arc::new(RedisWatchCache::with_ttl(&redis, TTL_MS, 60_000));
    let cassandra = Options { bucket_threshold: 5, ..tables.clone() }.connect(cache).await.unwrap();
    cassandra.set_plugins(Arc::new(Serving(Some(policy.clone()))));
    cassandra.policies().activate(policy.identity()).await.unwrap();
    (cassandra, redis)
}

/// Otherwise a drop that missed it, and recorded its users as notified, would silence it permanently.
#[tokio::test]
async fn a_watch_missing_from_the_cache_is_newer_than_every_drop_that_may_miss_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Own::redis(folder.path()).unwrap();
    let (tables, policy) = (options(INDEXED).await, Steps::new("steps@1+a", 20));
    let patient =
        RedisOptions { timeout_ms: 10_000, breaker_reset_timeout_ms: 200, ..RedisOptions::default() };
    let (cassandra, _redis) = engine(&tables, &server, &policy, patient).await;
    let (watches, large) = (cassandra.watches(), ProductId::new(LARGE).unwrap());
    let of = |users: std::ops::Range<u64>| users.map(|n| watch(LARGE, "60", &format!("told-{n}"))).collect();
    let told = watches.put(of(0..20)).await.unwrap();
    assert_eq!(cassandra.policies().repair(&large).await.unwrap(), 20);
    server.kill().unwrap();
    let missed = watches.put(vec![watch(LARGE, "60", "missed")]).await.unwrap();
    let by = missed.effective_by.unwrap();
    // A write that did reach the cache must not make the product look older.
    server.start().unwrap();
    let began = Instant::now();
    while watches.put(of(20..21)).await.unwrap().effective_by.is_some() {
        assert!(began.elapsed() < Duration::from_secs(30), "Redis is not heard again");
    }
    let rows = watches.list(Some(&large), None, 100).await.unwrap();
    let newest = |user: &str| rows.iter().find(|row| row.user_id.as_str() == user).unwrap().updated_at;
    assert_eq!((told.effective_by, newest("told-0")), (None, Some(told.updated_at)));
    let newest = newest("missed").unwrap();
    assert!(newest.0 >= missed.updated_at.0 + TTL_MS as i64, "{newest:?}, {missed:?}");
    assert_eq!(by.0, newest.0 + WRITE_MARGIN_MS, "what views know then is no older");
    let mut view = watches.view().await.unwrap();
    // The next reader notices that the product is large.
    self::rows(&mut *view, from_price(&large, "0"), 100).await;
    let product = view.summary(&large).await.unwrap();
    assert!(product.indexed && product.last_changed >= Some(newest), "{product:?}, {missed:?}");
}

async fn schedule(seed: u64, seconds: u64) {
    let folder = tempfile::tempdir().unwrap();
    let server = Own::redis(folder.path()).unwrap();
    let (tables, policy) = (options(INDEXED).await, Steps::new("steps@1+a", 20));
    let quick = RedisOptions {
        cache_timeout_ms: 150,
        timeout_ms: 300,
        breaker_reset_timeout_ms: 200,
        ..RedisOptions::default()
    };
    let engines = [
        engine(&tables, &server, &policy, quick.clone()).await,
        engine(&tables, &server, &policy, quick).await,
    ];
    let first = engines[0].0.watches();
    first.put((0..20).map(|n| watch(LARGE, "60", &format!("crowd-{n}"))).collect()).await.unwrap();
    let large = ProductId::new(LARGE).unwrap();
    let began = Instant::now();
    while let Err(error) = engines[0].0.policies().repair(&large).await {
        assert!(began.elapsed() < Duration::from_secs(30), "{error}");
    }
    let world = Arc::new(World::default());
    let mut at_work = Vec::new();
    for number in 0..WRITERS {
        let (world, watches) = (world.clone(), engines[number % 2].0.watches());
        at_work.push(tokio::spawn(async move { world.write(number, watches, seed + number as u64).await }));
    }
    for number in 0..2 * 2 {
        let (world, watches, policy) = (world.clone(), engines[number % 2].0.watches(), policy.clone());
        let dice = seed * 31 + number as u64;
        at_work.push(tokio::spawn(async move { world.read(watches, policy, dice).await }));
    }
    let struck = strike(server, seconds, seed).await;
    world.over.store(true, Ordering::Relaxed);
    for one in at_work {
        one.await.unwrap();
    }
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let hits: u64 = engines.iter().map(|(_, redis)| redis.metrics().hits.get()).sum();
    println!(
        "seed {seed}: killed {}, paused {}, restarted {}, flushed {}; {} reads, {} rows compared, {hits} hits, \
         {} writes announced, {} failed",
        struck[0],
        struck[1],
        struck[2],
        struck[3],
        count(&world.reads),
        count(&world.checked),
        count(&world.announced),
        count(&world.failed),
    );
    assert!(count(&world.checked) > 1_000 && hits > 0, "the schedule compared something");
    let mut view = first.view().await.unwrap();
    let all = Scan { buckets: Some((&policy.identity().name, BucketId(-3))), ..from_price(&large, "0") };
    let plain = rows(&mut *view, from_price(&large, "0"), 50).await;
    assert_eq!(rows(&mut *view, all, 50).await, plain);
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_acknowledged_watch_is_missed_whatever_becomes_of_the_cache() {
    let seconds = number("PRICEDROP_TEST_SECONDS", 60);
    let first = number("PRICEDROP_TEST_SEED", now_ms().unsigned_abs() % 1_000_000 + 1);
    let rounds = (seconds / 20).max(1);
    for seed in first..first + rounds {
        schedule(seed, seconds / rounds).await;
    }
}
