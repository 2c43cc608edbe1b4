//! A bucket in several partitions is read as one. Migrating to another number of
//! partitions loses no write.
#![allow(clippy::unwrap_used)]

mod rig;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pricedrop_cassandra::{Cassandra, Options, Table};
use pricedrop_model::cache::{NoCache, WatchCache};
use pricedrop_model::plugin::Bucketing;
use pricedrop_model::ports::{PolicyRegistry, Scan, WatchStore, WatchWriter};
use pricedrop_model::{BucketId, Price, ProductId, UserId, Watch};
use pricedrop_testing::conformance::watches::{from_price, rows, watch};
use rig::{INDEXED, MemoryCache, Serving, Steps, options, session};

fn product() -> ProductId {
    ProductId::new("P").unwrap()
}

/// Returns watches that all fall into one bucket, at few thresholds.
fn crowd(from: u64, to: u64) -> Vec<Watch> {
    (from..to).map(|n| watch("P", &format!("{}", 10 + n % 7), &format!("user-{n}"))).collect()
}

/// Returns a policy with a single bucket.
fn policy() -> Arc<Steps> {
    Steps::new("steps@1+wide", 1_000_000)
}

async fn open(options: &Options, shards: u32, cache: Arc<dyn WatchCache>) -> Cassandra {
    let options = Options { bucket_threshold: 50, shards, page_rows: 700, ..options.clone() };
    let cassandra = options.connect(cache).await.unwrap();
    cassandra.set_plugins(Arc::new(Serving(Some(policy()))));
    cassandra.policies().activate(policy().identity()).await.unwrap();
    cassandra
}

/// Counts the rows of the index by shard.
async fn by_shard(options: &Options) -> BTreeMap<i32, usize> {
    let cql = format!("SELECT shard FROM {}.{}", options.keyspace, options.tables.name(Table::Buckets));
    let answer = session().await.query_unpaged(cql, ()).await.unwrap().into_rows_result().unwrap();
    let mut counts = BTreeMap::new();
    for row in answer.rows::<(i32,)>().unwrap() {
        *counts.entry(row.unwrap().0).or_default() += 1;
    }
    counts
}

/// Compares reading by bucket with the plain range, for several page sizes. Returns the row count.
async fn compare(cassandra: &Cassandra, from: &str) -> usize {
    let (product, policy) = (product(), policy());
    let mut counts = Vec::new();
    for page_rows in [3, 64, 5_000] {
        let mut view = cassandra.watches().view().await.unwrap();
        let scan = from_price(&product, from);
        let plain = rows(&mut *view, scan.clone(), page_rows).await;
        assert!(view.summary(&product).await.unwrap().indexed, "the index serves");
        let by_bucket = Scan { buckets: Some((&policy.identity().name, policy.bucket(scan.from))), ..scan };
        assert_eq!(rows(&mut *view, by_bucket, page_rows).await, plain, "pages of {page_rows}");
        counts.push(plain.len());
    }
    counts[0]
}

#[tokio::test]
async fn the_shards_of_a_bucket_are_read_in_order_as_one() {
    for cache in [Arc::new(NoCache) as Arc<dyn WatchCache>, Arc::new(MemoryCache::default())] {
        let options = options(INDEXED).await;
        let cassandra = open(&options, 4, cache).await;
        let watches = cassandra.watches();
        watches.put(crowd(0, 3_000)).await.unwrap();
        assert_eq!(cassandra.policies().repair(&product()).await.unwrap(), 3_000);
        let counts = by_shard(&options).await;
        assert_eq!(counts.len(), 4, "{counts:?}");
        assert!(counts.values().all(|count| (600..900).contains(count)), "{counts:?}");
        assert_eq!(compare(&cassandra, "0").await, 3_000);
        for gone in crowd(0, 10) {
            let deleted = watches.delete(&gone.product_id, gone.price_watch_value, &gone.user_id).await;
            assert!(deleted.unwrap().existed);
        }
        watches.put(crowd(3_000, 3_005)).await.unwrap();
        assert_eq!(compare(&cassandra, "0").await, 2_995);
        assert!(compare(&cassandra, "14").await < 2_000);
        assert_eq!(by_shard(&options).await.values().sum::<usize>(), 2_995, "deletes found their shards");
    }
}

#[tokio::test]
async fn a_repair_corrects_every_shard() {
    let options = options(INDEXED).await;
    let cassandra = open(&options, 3, Arc::new(NoCache)).await;
    cassandra.watches().put(crowd(0, 200)).await.unwrap();
    // A writer without the policy adds and deletes: the index misses rows, and has deleted ones.
    let without = options.clone().connect(Arc::new(NoCache)).await.unwrap().watches();
    without.put(crowd(200, 230)).await.unwrap();
    for gone in crowd(0, 30) {
        without.delete(&gone.product_id, gone.price_watch_value, &gone.user_id).await.unwrap();
    }
    assert_eq!(cassandra.policies().repair(&product()).await.unwrap(), 200);
    assert_eq!(compare(&cassandra, "0").await, 200);
    assert_eq!(by_shard(&options).await.values().sum::<usize>(), 200, "no stray is left in any shard");
}

/// Writes, deletes and reads until it is stopped. Returns how many of its watches still exist.
async fn at_work(cassandra: Cassandra, name: &'static str, working: Arc<AtomicBool>) -> usize {
    let (watches, mut next, mut gone) = (cassandra.watches(), 0u64, 0);
    let own = |n: u64| watch("P", &format!("{}", 10 + n % 7), &format!("{name}-{n}"));
    let (product, policy) = (product(), policy());
    while working.load(Ordering::Relaxed) {
        watches.put((next..next + 3).map(own).collect()).await.unwrap();
        next += 3;
        if next.is_multiple_of(4) {
            let Watch { product_id, price_watch_value, user_id, .. } = own(next - 1);
            assert!(watches.delete(&product_id, price_watch_value, &user_id).await.unwrap().existed);
            gone += 1;
        }
        let mut view = watches.view().await.unwrap();
        let by_bucket =
            Scan { buckets: Some((&policy.identity().name, BucketId(-3))), ..from_price(&product, "0") };
        let read = rows(&mut *view, by_bucket, 100).await;
        let seen = read.iter().filter(|row| row.1.starts_with(name)).count();
        assert_eq!(seen, next as usize - gone, "{name}: every acknowledged write is read");
    }
    next as usize - gone
}

#[tokio::test]
async fn moving_to_another_number_of_shards_loses_no_write_of_any_engine() {
    let options = options(INDEXED).await;
    let cache: Arc<dyn WatchCache> = Arc::new(MemoryCache::default());
    // One engine is configured differently: the stored policy decides the number of shards.
    let (one, other) = (open(&options, 1, cache.clone()).await, open(&options, 1, cache.clone()).await);
    one.watches().put(crowd(0, 300)).await.unwrap();
    one.policies().repair(&product()).await.unwrap();
    for shards in [4, 2, 1] {
        let mover = open(&options, shards, cache.clone()).await;
        assert!(mover.policies().shards_differ().await.unwrap());
        let working = Arc::new(AtomicBool::new(true));
        let name = ["one", "two", "four"][shards as usize / 2];
        let at_one = tokio::spawn(at_work(one.clone(), name, working.clone()));
        let other_name = ["uno", "due", "quattro"][shards as usize / 2];
        let at_other = tokio::spawn(at_work(other.clone(), other_name, working.clone()));
        mover.policies().migrate(policy(), |_| {}).await.unwrap();
        working.store(false, Ordering::Relaxed);
        assert!(at_one.await.unwrap() > 0 && at_other.await.unwrap() > 0);
        assert!(!mover.policies().shards_differ().await.unwrap());
        let all = compare(&mover, "0").await;
        let counts = by_shard(&options).await;
        assert_eq!((counts.len(), counts.values().sum::<usize>()), (shards as usize, all), "{counts:?}");
        let status = mover.policies().status().await.unwrap();
        assert_eq!((status.verified, status.leftover, status.shards), (1, 0, shards), "{status:?}");
    }
}

#[tokio::test]
async fn the_shard_of_a_user_does_not_depend_on_the_threshold() {
    let options = options(INDEXED).await;
    let cassandra = open(&options, 8, Arc::new(NoCache)).await;
    let user = UserId::new("moves-around").unwrap();
    let at = |price: &str| Watch { user_id: user.clone(), ..watch("P", price, "x") };
    cassandra.watches().put(vec![at("10"), at("11"), at("12")]).await.unwrap();
    assert_eq!(by_shard(&options).await.len(), 1);
    let ten = Price::parse("10").unwrap();
    assert!(cassandra.watches().delete(&product(), ten, &user).await.unwrap().existed);
    assert_eq!(by_shard(&options).await.values().sum::<usize>(), 2);
}
