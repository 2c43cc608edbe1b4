//! Many watches are written and read at once: all of them are there. Prints the speed.
#![allow(clippy::unwrap_used)]

mod rig;

use std::sync::Arc;
use std::time::Instant;

use futures::{StreamExt as _, TryStreamExt as _};
use pricedrop_cassandra::{Cassandra, Options, Table};
use pricedrop_model::cache::NoCache;
use pricedrop_model::plugin::Bucketing;
use pricedrop_model::ports::{PolicyRegistry, Scan, WatchStore, WatchWriter};
use pricedrop_model::{ProductId, Watch};
use pricedrop_testing::conformance::watches::{from_price, rows, watch};
use rig::{INDEXED, Serving, Steps, options};

const PRODUCTS: u64 = 2_000;
const WATCHES: u64 = 100_000;
const LARGE: u64 = 100_000;
/// Watches in a request of an import, and requests in flight.
const BATCH: usize = 1_000;
const LANES: usize = 8;

fn spread() -> Vec<Watch> {
    let one = |n: u64| watch(&format!("p{}", n % PRODUCTS), &format!("{}.5", n % 97), &format!("user-{n}"));
    (0..WATCHES).map(one).collect()
}

fn large() -> Vec<Watch> {
    (0..LARGE).map(|n| watch("large", &format!("{}.25", n % 997), &format!("user-{n}"))).collect()
}

/// Writes as an import does, and prints the rows a second.
async fn import(cassandra: &Cassandra, what: &str, watches: Vec<Watch>) {
    let (store, count, began) = (cassandra.watches(), watches.len(), Instant::now());
    let requests = watches.chunks(BATCH).map(|batch| store.put(batch.to_vec()));
    let written = futures::stream::iter(requests.collect::<Vec<_>>()).buffer_unordered(LANES);
    written.try_collect::<Vec<_>>().await.unwrap();
    said(what, count, began);
}

fn said(what: &str, rows: usize, began: Instant) {
    let rate = rows as f64 / began.elapsed().as_secs_f64();
    println!("{what}: {rows} rows in {:.2} s, {rate:.0} rows/s", began.elapsed().as_secs_f64());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_import_is_read_back_unchanged() {
    let plain = options(&[Table::Alerts]).await.connect(Arc::new(NoCache)).await.unwrap();
    import(&plain, "import without an index", spread()).await;

    let policy = Steps::new("steps@1+a", 50);
    let cassandra = Options { bucket_threshold: 1_000, ..options(INDEXED).await };
    let cassandra = cassandra.connect(Arc::new(NoCache)).await.unwrap();
    cassandra.set_plugins(Arc::new(Serving(Some(policy.clone()))));
    cassandra.policies().activate(policy.identity()).await.unwrap();
    import(&cassandra, "import with an index", spread()).await;
    import(&cassandra, "import of one product", large()).await;
    println!("written anew: {}", cassandra.metrics().watch_write_retries.get());
    let product = ProductId::new("large").unwrap();
    let began = Instant::now();
    assert_eq!(cassandra.policies().repair(&product).await.unwrap(), LARGE);
    said("repair", LARGE as usize, began);

    let mut view = cassandra.watches().view().await.unwrap();
    let began = Instant::now();
    let all = rows(&mut *view, from_price(&product, "0"), 5_000).await;
    said("plain scan", all.len(), began);
    let began = Instant::now();
    let name = &policy.identity().name;
    let scan = from_price(&product, "0");
    let by_bucket = Scan { buckets: Some((name, policy.bucket(scan.from))), ..scan };
    assert_eq!(rows(&mut *view, by_bucket, 5_000).await, all);
    said("by bucket", all.len(), began);
    assert_eq!(all.len(), LARGE as usize);
    let mut counted = 0;
    for number in 0..PRODUCTS {
        let product = ProductId::new(&format!("p{number}")).unwrap();
        counted += rows(&mut *view, from_price(&product, "0"), 5_000).await.len();
    }
    assert_eq!(counted, WATCHES as usize);
}
