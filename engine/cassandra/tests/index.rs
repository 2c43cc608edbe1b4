//! Reading by bucket returns the rows of the plain range, through writes, deletes, repairs and
//! migrations to another policy.
#![allow(clippy::unwrap_used)]

mod rig;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pricedrop_cassandra::{Cassandra, CassandraWatches, Options, Table};
use pricedrop_model::cache::{NoCache, WatchCache};
use pricedrop_model::migration::Progress;
use pricedrop_model::plugin::Bucketing;
use pricedrop_model::ports::{PolicyRegistry, Scan, WatchStore, WatchWriter};
use pricedrop_model::{BucketId, Floor, Mode, Price, ProductId, Removal, UserId, Watch};
use pricedrop_testing::conformance::watches::{Row, from_price, rows, watch};
use rig::{INDEXED, MemoryCache, Serving, Steps, options, session};

fn product() -> ProductId {
    ProductId::new("P").unwrap()
}

/// Returns watches with thresholds from 0 to 100, unevenly distributed and with varying scales.
fn crowd(from: u64, to: u64) -> Vec<Watch> {
    let modes = [None, Some(Mode::EveryDrop), Some(Mode::Crossing), Some(Mode::Once)];
    let one = |n: u64| Watch {
        mode: modes[(n % 4) as usize],
        ..watch("P", &format!("{}.{:02}", (n * 7919) % 100, (n * 31) % 100), &format!("user-{n}"))
    };
    (from..to).map(one).collect()
}

async fn large(options: Options, policy: &Arc<Steps>, cache: Arc<dyn WatchCache>) -> Cassandra {
    let cassandra = Options { bucket_threshold: 50, ..options }.connect(cache).await.unwrap();
    cassandra.set_plugins(Arc::new(Serving(Some(policy.clone()))));
    cassandra.policies().activate(policy.identity()).await.unwrap();
    cassandra
}

/// Compares a range read by bucket with the plain one. Returns the number of rows.
async fn compare(cassandra: &Cassandra, policy: &Steps, from: &str, below: Floor, page_rows: usize) -> usize {
    let product = product();
    let scan = Scan { below, ..from_price(&product, from) };
    let mut view = cassandra.watches().view().await.unwrap();
    let plain = rows(&mut *view, scan.clone(), page_rows).await;
    assert!(view.summary(&product).await.unwrap().indexed, "the index serves");
    let bucket = policy.bucket(scan.from);
    let by_bucket = Scan { buckets: Some((&policy.identity().name, bucket)), ..scan };
    let indexed = rows(&mut *view, by_bucket, page_rows).await;
    assert_eq!(indexed, plain, "from {from} below {below:?}, pages of {page_rows}");
    plain.len()
}

async fn compare_all(cassandra: &Cassandra, policy: &Steps) -> usize {
    let drop = |price: &str| Floor::Drop(Price::parse(price).unwrap());
    for (from, below) in
        [("12.5", drop("60")), ("99", Floor::Infinite), ("0.5", Floor::Rise(Price::parse("30").unwrap()))]
    {
        for page_rows in [7, 5000] {
            compare(cassandra, policy, from, below, page_rows).await;
        }
    }
    compare(cassandra, policy, "0", Floor::Infinite, 100).await
}

async fn everything_equals(cache: Arc<dyn WatchCache>) {
    let policy = Steps::new("steps@1+a", 10);
    let cassandra = large(options(INDEXED).await, &policy, cache).await;
    let watches = cassandra.watches();
    watches.put(crowd(0, 300)).await.unwrap();
    assert_eq!(cassandra.policies().repair(&product()).await.unwrap(), 300);
    assert_eq!(compare_all(&cassandra, &policy).await, 300);
    watches.put(crowd(250, 400)).await.unwrap();
    for gone in crowd(100, 110) {
        let user = &gone.user_id;
        assert!(watches.delete(&gone.product_id, gone.price_watch_value, user).await.unwrap().existed);
    }
    assert_eq!(compare_all(&cassandra, &policy).await, 390);
    let mut view = watches.view().await.unwrap();
    let told: Vec<Removal> =
        rows(&mut *view, from_price(&product(), "50"), 1000).await.iter().map(removal).collect();
    let kept = told.first().unwrap().clone();
    watches
        .put(vec![Watch { mode: None, ..watch("P", &kept.threshold.to_string(), kept.user.as_str()) }])
        .await
        .unwrap();
    watches.remove_told(&told).await.unwrap();
    assert_eq!(compare_all(&cassandra, &policy).await, 390 - told.len() + 1);
}

fn removal(row: &Row) -> Removal {
    Removal { product: product(), threshold: row.0, user: UserId::new(&row.1).unwrap(), write_time: row.4 }
}

#[tokio::test]
async fn buckets_contain_what_the_plain_range_contains() {
    everything_equals(Arc::new(NoCache)).await;
}

#[tokio::test]
async fn cached_buckets_contain_what_the_plain_range_contains() {
    let cache = Arc::new(MemoryCache::default());
    everything_equals(cache.clone()).await;
    assert!(cache.len() > 5, "the cache was filled");
}

#[tokio::test]
async fn repeating_an_interrupted_delete_removes_the_watch_from_the_cache() {
    let options = options(INDEXED).await;
    let cached = options.clone().connect(Arc::new(MemoryCache::default())).await.unwrap();
    let watches = cached.watches();
    watches.put(crowd(0, 2)).await.unwrap();
    let mut view = watches.view().await.unwrap();
    assert_eq!(rows(&mut *view, from_price(&product(), "0"), 30).await.len(), 2);
    // The writer dies before it invalidates the cache.
    let died = options.connect(Arc::new(NoCache)).await.unwrap();
    let gone = &crowd(0, 1)[0];
    let delete = |watches: CassandraWatches| async move {
        watches.delete(&gone.product_id, gone.price_watch_value, &gone.user_id).await.unwrap()
    };
    assert!(delete(died.watches()).await.existed);
    let again = delete(watches.clone()).await;
    assert_eq!((again.existed, again.effective_by), (false, None));
    let mut view = watches.view().await.unwrap();
    assert_eq!(rows(&mut *view, from_price(&product(), "0"), 30).await.len(), 1);
}

async fn execute(options: &Options, table: Table, cql: &str) -> usize {
    let full = format!("{}.{}", options.keyspace, options.tables.name(table));
    let answer = session().await.query_unpaged(cql.replace("{t}", &full), ()).await.unwrap();
    answer.into_rows_result().map_or(0, |rows| rows.rows_num())
}

#[tokio::test]
async fn deleting_a_watch_that_remains_only_in_the_index_removes_it_there() {
    let (options, policy) = (options(INDEXED).await, Steps::new("steps@1+a", 10));
    let cassandra = large(options.clone(), &policy, Arc::new(NoCache)).await;
    cassandra.watches().put(crowd(0, 2)).await.unwrap();
    execute(&options, Table::Alerts, "DELETE FROM {t} WHERE product_id = 'P'").await;
    assert_eq!(execute(&options, Table::Buckets, "SELECT user_id FROM {t}").await, 2);
    for gone in crowd(0, 2) {
        let deleted = cassandra.watches().delete(&product(), gone.price_watch_value, &gone.user_id).await;
        assert!(!deleted.unwrap().existed);
    }
    assert_eq!(execute(&options, Table::Buckets, "SELECT user_id FROM {t}").await, 0);
}

#[tokio::test]
async fn a_row_of_an_external_writer_is_deleted_with_all_its_columns() {
    let options = Options { external_writers: true, ..options(INDEXED).await };
    let watches = options.clone().connect(Arc::new(NoCache)).await.unwrap().watches();
    let insert = "INSERT INTO {t} (product_id, price_watch_value, user_id";
    // Its row marker is newer than its columns, but only columns have a readable write time.
    for rest in
        [", mode) VALUES ('P', 5, 'u', 'once') USING TIMESTAMP 1", ") VALUES ('P', 5, 'u') USING TIMESTAMP 2"]
    {
        execute(&options, Table::Alerts, &format!("{insert}{rest}")).await;
    }
    let user = UserId::new("u").unwrap();
    assert!(watches.delete(&product(), Price::parse("5").unwrap(), &user).await.unwrap().existed);
    assert_eq!(execute(&options, Table::Alerts, "SELECT user_id FROM {t}").await, 0);
}

/// Waits until a product is read by bucket.
async fn until_indexed(cassandra: &Cassandra) {
    let began = Instant::now();
    loop {
        let mut view = cassandra.watches().view().await.unwrap();
        rows(&mut *view, from_price(&product(), "0"), 5000).await;
        if view.summary(&product()).await.unwrap().indexed {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "no repair came: {:?}", cassandra.metrics());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_product_that_became_large_is_indexed_and_read_by_bucket_without_an_operator() {
    let (options, policy) = (options(INDEXED).await, Steps::new("steps@1+a", 10));
    // Rows are written before there is a policy.
    options.clone().connect(Arc::new(NoCache)).await.unwrap().watches().put(crowd(0, 80)).await.unwrap();
    let cassandra = large(options, &policy, Arc::new(NoCache)).await;
    until_indexed(&cassandra).await;
    assert_eq!(compare_all(&cassandra, &policy).await, 80);
    let live = cassandra.watches().view().await.unwrap().summary(&product()).await.unwrap();
    assert!(live.every_drop && live.crossing && live.modeless && live.last_changed.is_some(), "{live:?}");
}

#[tokio::test]
async fn a_writer_without_the_policy_makes_readers_use_the_plain_range() {
    let (options, policy) = (options(INDEXED).await, Steps::new("steps@1+a", 10));
    let cassandra = large(options.clone(), &policy, Arc::new(NoCache)).await;
    cassandra.watches().put(crowd(0, 100)).await.unwrap();
    until_indexed(&cassandra).await;
    let without = options.connect(Arc::new(NoCache)).await.unwrap();
    let all = crowd(0, 1);
    let gone = (&all[0].user_id, all[0].price_watch_value);
    assert!(without.watches().delete(&product(), gone.1, gone.0).await.unwrap().existed);
    without.watches().put(crowd(100, 101)).await.unwrap();
    let mut view = cassandra.watches().view().await.unwrap();
    let product = product();
    let by_bucket = Scan { buckets: Some(("steps@1+a", BucketId(-3))), ..from_price(&product, "0") };
    assert_eq!(rows(&mut *view, by_bucket, 30).await.len(), 100, "asked by bucket, read by range");
    until_indexed(&cassandra).await;
    assert_eq!(compare_all(&cassandra, &policy).await, 100, "the stray row is gone from the index");
}

#[tokio::test]
async fn rows_of_external_writers_are_visible_at_once_if_the_option_is_set() {
    let options = Options { external_writers: true, ..options(INDEXED).await };
    let alerts = format!("{}.{}", options.keyspace, options.tables.name(Table::Alerts));
    let policy = Steps::new("steps@1+a", 10);
    let cassandra = large(options, &policy, Arc::new(MemoryCache::default())).await;
    cassandra.watches().put(crowd(0, 100)).await.unwrap();
    let session = session().await;
    for n in 0..3 {
        let mut view = cassandra.watches().view().await.unwrap();
        assert_eq!(rows(&mut *view, from_price(&product(), "0"), 5000).await.len(), 100 + n);
        assert!(!view.summary(&product()).await.unwrap().indexed);
        let insert = format!(
            "INSERT INTO {alerts} (product_id, price_watch_value, user_id) VALUES ('P', 5.5, 'other-{n}')"
        );
        session.query_unpaged(insert, ()).await.unwrap();
    }
    assert!(cassandra.policies().repair(&product()).await.is_err());
}

#[tokio::test]
async fn a_move_to_another_policy_loses_no_write_made_meanwhile() {
    let (old, new) = (Steps::new("steps@1+a", 10), Steps::new("steps@1+b", 3));
    let cassandra = large(options(INDEXED).await, &old, Arc::new(MemoryCache::default())).await;
    cassandra.watches().put(crowd(0, 200)).await.unwrap();
    until_indexed(&cassandra).await;
    let (writing, watches) = (Arc::new(AtomicBool::new(true)), cassandra.watches());
    let writer = tokio::spawn({
        let writing = writing.clone();
        async move {
            let mut next = 200;
            while writing.load(Ordering::Relaxed) {
                watches.put(crowd(next, next + 3)).await.unwrap();
                next += 3;
            }
            next
        }
    });
    let mut seen = Vec::new();
    cassandra.policies().migrate(new.clone(), |progress| seen.push(progress)).await.unwrap();
    cassandra.set_plugins(Arc::new(Serving(Some(new.clone()))));
    writing.store(false, Ordering::Relaxed);
    let written = writer.await.unwrap();
    assert_eq!(&seen[seen.len() - 2..], [Progress::CutOver, Progress::Done]);
    assert!(matches!(seen[0], Progress::Building { products: 0, of: 1, .. }), "{seen:?}");
    assert_eq!(cassandra.policies().active().await.unwrap().unwrap(), *new.identity());
    until_indexed(&cassandra).await;
    assert_eq!(compare_all(&cassandra, &new).await, written as usize);
    let status = cassandra.policies().status().await.unwrap();
    assert_eq!((status.verified, status.leftover, status.building), (1, 0, None));
}

#[tokio::test]
async fn a_view_opened_before_a_migration_continues_with_the_old_index() {
    let (old, new) = (Steps::new("steps@1+a", 10), Steps::new("steps@1+b", 3));
    let cassandra = large(options(INDEXED).await, &old, Arc::new(NoCache)).await;
    cassandra.watches().put(crowd(0, 200)).await.unwrap();
    until_indexed(&cassandra).await;
    let mut view = cassandra.watches().view().await.unwrap();
    cassandra.policies().migrate(new.clone(), |_| {}).await.unwrap();
    let name = &old.identity().name;
    let product = product();
    let mut fresh = cassandra.watches().view().await.unwrap();
    let by_old = Scan { buckets: Some((name, BucketId(-3))), ..from_price(&product, "0") };
    assert_eq!(rows(&mut *fresh, by_old, 50).await.len(), 200, "a policy that is gone reads the plain range");
    assert_eq!(rows(&mut *view, from_price(&product, "0"), 50).await.len(), 200);
}

#[tokio::test]
async fn prefetched_rows_equal_the_rows_of_a_scan() {
    for cache in [Arc::new(NoCache) as Arc<dyn WatchCache>, Arc::new(MemoryCache::default())] {
        let cassandra = options(&[Table::Alerts]).await.connect(cache).await.unwrap();
        let names: Vec<ProductId> = (0..40).map(|n| ProductId::new(&format!("p{n}")).unwrap()).collect();
        let all =
            names.iter().flat_map(|name| (0..5).map(|user| watch(name.as_str(), "10", &format!("u{user}"))));
        cassandra.watches().put(all.collect()).await.unwrap();
        let mut view = cassandra.watches().view().await.unwrap();
        let scans: Vec<Scan<'_>> = names.iter().map(|name| from_price(name, "10")).collect();
        view.prefetch(&scans).await.unwrap();
        let before = cassandra.metrics().reads();
        for scan in scans {
            view.summary(scan.product).await.unwrap();
            assert_eq!(rows(&mut *view, scan, 100).await.len(), 5);
        }
        assert_eq!(cassandra.metrics().reads(), before, "nothing was read again");
    }
}
