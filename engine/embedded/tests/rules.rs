//! Tests of guarantees of the embedded store beyond its ports: times under concurrency, bucket indexes
//! and migrations, removals, the intake.
#![allow(clippy::unwrap_used)]

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use pricedrop_embedded::{Embedded, Options, PARTITION, PriceIntake};
use pricedrop_model::channel::Channel;
use pricedrop_model::intake::{IntakeError, NewRecord, Posted, PriceIntake as _};
use pricedrop_model::plugin::{Bucketing, Error as PluginError, Plugins, PolicyIdentity, Throttling};
use pricedrop_model::ports::{
    Commit, Committer as _, Outcome, PolicyRegistry as _, Scan, UpdateSource as _, WatchStore as _,
    WatchWriter as _,
};
use pricedrop_model::{
    BucketId, Currency, EventTime, FanOut, Floor, Hysteresis, Mode, Position, Price, Priced, ProductId,
    ProductState, ReadPath, Removal, StateKey, UserId, WallTime, Watch,
};
use pricedrop_testing::conformance::watches::{Row, from_price, rows, watch};
use tempfile::TempDir;

/// Bucketing by floor(price / width), which returns errors while it is broken.
struct FloorBy {
    identity: PolicyIdentity,
    width: i64,
    broken: AtomicBool,
}

impl FloorBy {
    fn new(width: i64) -> Arc<FloorBy> {
        let name = format!("floor@1+{width}");
        let identity = PolicyIdentity { fingerprint: format!("print of {width}"), name };
        Arc::new(FloorBy { identity, width, broken: AtomicBool::new(false) })
    }
}

impl Bucketing for FloorBy {
    fn identity(&self) -> &PolicyIdentity {
        &self.identity
    }
    fn buckets_of(&self, _product: &ProductId, prices: &[Price]) -> Result<Vec<BucketId>, PluginError> {
        if self.broken.load(Ordering::Relaxed) {
            let plugin = self.identity.name.clone();
            return Err(PluginError { plugin, function: "bucket-of", reason: "trap".into() });
        }
        let bucket = |price: &Price| BucketId(price.units() / 10i64.pow(price.scale().into()) / self.width);
        Ok(prices.iter().map(bucket).collect())
    }
    fn report_breach(&self, product: &ProductId, what: &str) {
        panic!("{product}: {what}");
    }
}

struct Loaded(Arc<FloorBy>);

impl Plugins for Loaded {
    fn bucketing(&self) -> Option<Arc<dyn Bucketing>> {
        Some(self.0.clone())
    }
    fn throttling(&self) -> Option<Arc<dyn Throttling>> {
        None
    }
    fn channel(&self, _name: &str) -> Option<Arc<dyn Channel>> {
        None
    }
}

fn open(change: impl FnOnce(&mut Options)) -> (Embedded, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut options = Options::new(folder.path());
    options.bucket_threshold = 100;
    change(&mut options);
    (options.build().unwrap(), folder)
}

fn product() -> ProductId {
    ProductId::new("P").unwrap()
}

fn crowd(from: u64, count: u64) -> Vec<Watch> {
    let one = |n: u64| watch("P", &format!("{}.{}", (n * 7919) % 200, n % 100), &format!("user-{n}"));
    (from..from + count).map(one).collect()
}

async fn until(what: &str, mut look: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !look().await {
        assert!(Instant::now() < deadline, "waited 30 s for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn is_indexed(embedded: &Embedded) -> bool {
    let mut view = embedded.watches().view().await.unwrap();
    view.summary(&product()).await.unwrap().indexed
}

/// Reads a range by bucket and plainly, in one view.
async fn both(embedded: &Embedded, policy: &FloorBy, from: &str, below: Floor, page: usize) -> [Vec<Row>; 2] {
    let mut view = embedded.watches().view().await.unwrap();
    let product = product();
    let plain = Scan { below, hysteresis: Hysteresis::NONE, ..from_price(&product, from) };
    let bucket = policy.buckets_of(&product, &[Price::parse(from).unwrap()]).unwrap()[0];
    let buckets = Scan { buckets: Some((&policy.identity.name, bucket)), ..plain.clone() };
    [rows(&mut *view, plain, page).await, rows(&mut *view, buckets, page).await]
}

async fn assert_same(embedded: &Embedded, policy: &FloorBy) {
    for page in [1, 13, 1000] {
        for (from, below) in
            [("0", Floor::Infinite), ("77.5", Floor::Infinite), ("31", Floor::Drop("90".parse().unwrap()))]
        {
            let [plain, buckets] = both(embedded, policy, from, below, page).await;
            assert!(!plain.is_empty());
            assert_eq!(plain, buckets, "from {from} below {below:?}, pages of {page}");
        }
    }
}

#[tokio::test]
async fn a_large_product_is_indexed_and_reads_the_same_by_bucket() {
    let (embedded, _folder) = open(|_| {});
    let policy = FloorBy::new(10);
    embedded.set_plugins(Arc::new(Loaded(policy.clone())));
    embedded.policies().activate(&policy.identity).await.unwrap();
    let watches = embedded.watches();
    watches.put(crowd(0, 100)).await.unwrap();
    assert!(!is_indexed(&embedded).await, "100 are not above 100");
    watches.put(crowd(100, 900)).await.unwrap();
    until("the index", async || is_indexed(&embedded).await).await;
    assert_same(&embedded, &policy).await;
    for gone in crowd(300, 100) {
        assert!(
            watches.delete(&gone.product_id, gone.price_watch_value, &gone.user_id).await.unwrap().existed
        );
    }
    watches.put(crowd(900, 300)).await.unwrap();
    assert!(is_indexed(&embedded).await);
    assert_same(&embedded, &policy).await;
}

#[tokio::test]
async fn a_policy_that_traps_drops_the_index_and_loses_no_watch() {
    let (embedded, _folder) = open(|_| {});
    let policy = FloorBy::new(10);
    embedded.set_plugins(Arc::new(Loaded(policy.clone())));
    embedded.policies().activate(&policy.identity).await.unwrap();
    embedded.watches().put(crowd(0, 500)).await.unwrap();
    until("the index", async || is_indexed(&embedded).await).await;
    policy.broken.store(true, Ordering::Relaxed);
    embedded.watches().put(crowd(500, 10)).await.unwrap();
    assert!(!is_indexed(&embedded).await);
    policy.broken.store(false, Ordering::Relaxed);
    // A read by bucket falls back to the plain range.
    assert_same(&embedded, &policy).await;
    embedded.set_plugins(Arc::new(Loaded(policy.clone())));
    until("the index built anew", async || is_indexed(&embedded).await).await;
    assert_same(&embedded, &policy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_to_another_policy_misses_no_watch_written_meanwhile() {
    let (embedded, _folder) = open(|_| {});
    let (old, new) = (FloorBy::new(10), FloorBy::new(7));
    embedded.set_plugins(Arc::new(Loaded(old.clone())));
    embedded.policies().activate(&old.identity).await.unwrap();
    embedded.watches().put(crowd(0, 20_000)).await.unwrap();
    until("the index", async || is_indexed(&embedded).await).await;
    let done = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn({
        let (watches, done) = (embedded.watches(), done.clone());
        async move {
            let mut n = 20_000;
            while !done.load(Ordering::Relaxed) {
                watches.put(crowd(n, 5)).await.unwrap();
                let gone = crowd(n - 15_000, 1).remove(0);
                watches.delete(&gone.product_id, gone.price_watch_value, &gone.user_id).await.unwrap();
                n += 5;
            }
        }
    });
    let mut steps = Vec::new();
    embedded.policies().migrate(new.clone(), |step| steps.push(step)).await.unwrap();
    assert!(steps.len() >= 4, "{steps:?}");
    assert_eq!(embedded.policies().active().await.unwrap(), Some(new.identity.clone()));
    assert!(is_indexed(&embedded).await, "the new index serves at once");
    assert_same(&embedded, &new).await;
    embedded.set_plugins(Arc::new(Loaded(new.clone())));
    done.store(true, Ordering::Relaxed);
    writing.await.unwrap();
    assert!(is_indexed(&embedded).await);
    assert_same(&embedded, &new).await;
    assert_same(&embedded, &old).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_contains_exactly_the_watches_updated_up_to_its_time() {
    let (embedded, _folder) = open(|_| {});
    let written = Arc::new(AtomicUsize::new(0));
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (watches, written) = (embedded.watches(), written.clone());
            tokio::spawn(async move {
                for n in 0..200 {
                    watches.put(vec![watch("P", "10", &format!("{writer}-{n}"))]).await.unwrap();
                    written.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let mut views = Vec::new();
    while written.load(Ordering::Relaxed) < 800 {
        let mut view = embedded.watches().view().await.unwrap();
        let product = product();
        let seen = rows(&mut *view, from_price(&product, "0"), 1000).await;
        views.push((view.wall_time(), seen.len()));
        tokio::task::yield_now().await;
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let moments: HashSet<usize> = views.iter().map(|(_, seen)| *seen).collect();
    assert!(moments.len() > 20, "{} different views are too few to tell", moments.len());
    let mut view = embedded.watches().view().await.unwrap();
    let product = product();
    let all = rows(&mut *view, from_price(&product, "0"), 1000).await;
    for (wall_time, seen) in views {
        let up_to = all.iter().filter(|row| row.3.unwrap() <= wall_time).count();
        assert_eq!(seen, up_to, "the view of {wall_time}");
    }
}

fn unfinished(price: &str) -> ProductState {
    let price: Price = price.parse().unwrap();
    let position = Position { partition: PARTITION, offset: 0 };
    let priced = Priced {
        price,
        position,
        original: None,
        event_time: EventTime(0),
        occurred_at: None,
        title: None,
        url: None,
    };
    let fan_out = FanOut {
        priced,
        previous: None,
        floor: Floor::Infinite,
        told_before: None,
        began: WallTime(0).into(),
        mode: Mode::EveryDrop,
        hysteresis: Hysteresis::NONE,
        path: ReadPath::Plain,
        cursor: None,
        told: 0,
        told_every_drop: false,
        told_once: true,
    };
    ProductState { fan_out: Some(Box::new(fan_out)), ..ProductState::default() }
}

#[tokio::test]
async fn notified_once_watches_are_removed_after_their_fan_out_and_not_before() {
    let (embedded, folder) = open(|_| {});
    embedded.watches().put(crowd(0, 50)).await.unwrap();
    let all = async |embedded: &Embedded| {
        let mut view = embedded.watches().view().await.unwrap();
        rows(&mut *view, from_price(&product(), "0"), 1000).await
    };
    let removals: Vec<Removal> = all(&embedded)
        .await
        .into_iter()
        .map(|(threshold, user, .., write_time)| Removal {
            product: product(),
            threshold,
            user: UserId::new(&user).unwrap(),
            write_time,
        })
        .collect();
    let key = StateKey { partition: PARTITION, product: product(), currency: Currency::USD };
    let mut committer = embedded.committer();
    committer.restore().await.unwrap();
    let states = vec![(key.clone(), unfinished("5"))];
    committer.commit(Commit { states, removals, ..Commit::default() }).await.unwrap();
    embedded.watches().put(crowd(7, 1)).await.unwrap();
    // Opening the store runs pending removals first; these must still wait.
    drop((committer, embedded));
    let embedded = Options::new(folder.path()).build().unwrap();
    embedded.watches().put(vec![watch("Q", "1", "u")]).await.unwrap();
    assert_eq!(all(&embedded).await.len(), 50, "the fan-out is not through");
    let mut committer = embedded.committer();
    committer.restore().await.unwrap();
    let states = vec![(key, ProductState { sequence: Some(1), ..ProductState::default() })];
    committer.commit(Commit { states, ..Commit::default() }).await.unwrap();
    until("the removals", async || all(&embedded).await.len() == 1).await;
    assert_eq!(all(&embedded).await[0].1, "user-7", "written anew: it survives");
}

fn record(text: &str) -> NewRecord {
    NewRecord { key: None, value: Some(Bytes::copy_from_slice(text.as_bytes())) }
}

fn offsets(answer: &[Posted]) -> Vec<(i64, bool)> {
    answer.iter().map(|posted| (posted.position().offset, matches!(posted, Posted::Already(_)))).collect()
}

fn post(
    intake: &PriceIntake,
    records: &[&str],
    at: Option<i64>,
) -> tokio::task::JoinHandle<Result<Vec<Posted>, IntakeError>> {
    let (intake, records) = (intake.clone(), records.iter().map(|text| record(text)).collect());
    tokio::spawn(async move { intake.post(records, at).await })
}

#[tokio::test]
async fn a_post_is_answered_by_its_commit_and_repeats_nothing() {
    let (embedded, folder) = open(|_| {});
    let (intake, mut source) = embedded.source().unwrap();
    let mut committer = embedded.committer();
    let waiting = post(&intake, &["a", "b"], None);
    let batch = source.next_batch(10, 5_000).await.unwrap().unwrap();
    assert_eq!(batch.iter().map(|record| record.position.offset).collect::<Vec<_>>(), [0, 1]);
    assert!(!waiting.is_finished());
    committer.commit(Commit { offsets: vec![(PARTITION, 2)], ..Commit::default() }).await.unwrap();
    let settled = batch.iter().map(|record| (record.position, Outcome::NotLower)).collect();
    source.settled(settled);
    assert_eq!(offsets(&waiting.await.unwrap().unwrap()), [(0, false), (1, false)]);
    // The producer repeats its last post and adds a record.
    let again = post(&intake, &["a", "b", "c"], Some(0));
    let batch = source.next_batch(10, 5_000).await.unwrap().unwrap();
    assert_eq!(batch.len(), 1);
    let gap = intake.post(vec![record("x")], Some(9)).await;
    assert_eq!(gap, Err(IntakeError::Gap { next: 3 }));
    // The outcome of the commit is lost, but the commit happened.
    committer.commit(Commit { offsets: vec![(PARTITION, 3)], ..Commit::default() }).await.unwrap();
    committer.restore().await.unwrap();
    assert_eq!(offsets(&again.await.unwrap().unwrap()), [(0, true), (1, true), (2, true)]);
    drop((intake, source, committer, embedded));
    let embedded = Options::new(folder.path()).build().unwrap();
    assert_eq!(embedded.source().unwrap().0.log_at(), 3);
}

#[tokio::test]
async fn records_of_a_failed_commit_are_read_again() {
    let (embedded, _folder) = open(|_| {});
    let (intake, mut source) = embedded.source().unwrap();
    let waiting = post(&intake, &["a", "b", "c"], None);
    assert_eq!(source.next_batch(2, 5_000).await.unwrap().unwrap().len(), 2);
    let mut committer = embedded.committer();
    committer.commit(Commit { offsets: vec![(PARTITION, 1)], ..Commit::default() }).await.unwrap();
    committer.restore().await.unwrap();
    let batch = source.next_batch(10, 5_000).await.unwrap().unwrap();
    let values: Vec<_> = batch.iter().map(|record| record.value.clone().unwrap()).collect();
    assert_eq!(values, ["b", "c"]);
    source.settled(batch.iter().map(|record| (record.position, Outcome::Stale)).collect());
    assert_eq!(offsets(&waiting.await.unwrap().unwrap()), [(0, true), (1, false), (2, false)]);
}

#[tokio::test]
async fn a_full_intake_makes_posts_wait_and_then_refuses() {
    let (embedded, _folder) = open(|options| {
        options.intake_records = 2;
        options.admission_timeout_ms = 50;
        options.response_timeout_ms = 50;
    });
    let (intake, mut source) = embedded.source().unwrap();
    let first = post(&intake, &["a", "b", "c"], None);
    until("the first post", async || intake.waiting() == 3).await;
    assert_eq!(
        intake.post(vec![record("d")], None).await,
        Err(IntakeError::NotTaken("too many prices are waiting; try again".into()))
    );
    assert_eq!(
        first.await.unwrap(),
        Err(IntakeError::Unknown("the outcome is not known yet; the log is at 0".into()))
    );
    assert_eq!(source.next_batch(10, 0).await.unwrap().unwrap().len(), 3);
    let later = post(&intake, &["d"], None);
    let batch = source.next_batch(10, 5_000).await.unwrap().unwrap();
    source.settled(batch.iter().map(|record| (record.position, Outcome::Stale)).collect());
    assert_eq!(offsets(&later.await.unwrap().unwrap()), [(3, false)]);
    intake.close();
    assert_eq!(
        intake.post(vec![record("e")], None).await,
        Err(IntakeError::NotTaken("the engine is stopping".into()))
    );
    assert!(source.next_batch(10, 5_000).await.unwrap().is_none());
}
