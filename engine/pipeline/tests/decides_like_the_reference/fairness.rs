//! Fairness between partitions and products: none waits for another's fan-out, and prefetching
//! reads little more than is evaluated.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use pricedrop_memory::{MemoryCommitter, MemoryWatches};
use pricedrop_model::ports::{Error, Outcome, Scan, Summary, UpdateSource, WatchStore, WatchView};
use pricedrop_model::{
    Cursor, EventTime, Partition, Position, Price, ProductId, Record, UserId, ViewTime, WallTime, Watch,
    WatchPage,
};
use pricedrop_pipeline::notifier::Options;

use crate::harness::SetClock;
use crate::policies::Policies;

/// A source that returns the records of the first partition that is not held back.
struct Greedy {
    partitions: Vec<VecDeque<Record>>,
    held_back: Vec<Partition>,
    settled: Arc<Mutex<Vec<Position>>>,
}

#[async_trait]
impl UpdateSource for Greedy {
    async fn next_batch(&mut self, most: usize, _: u64) -> Result<Option<Vec<Record>>, Error> {
        if self.partitions.iter().all(VecDeque::is_empty) {
            return Ok(None);
        }
        let wanted = |place: &usize| !self.held_back.contains(&Partition(*place as i32));
        let mut places = (0..self.partitions.len()).filter(wanted);
        let first = places.find(|place| !self.partitions[*place].is_empty());
        let records = first.map(|place| {
            let queue = &mut self.partitions[place];
            queue.drain(..most.min(queue.len())).collect()
        });
        Ok(Some(records.unwrap_or_default()))
    }

    fn hold_back(&mut self, partitions: &[Partition]) {
        self.held_back = partitions.to_vec();
    }

    fn settled(&mut self, outcomes: Vec<(Position, Outcome)>) {
        self.settled.lock().unwrap().extend(outcomes.into_iter().map(|(position, _)| position));
    }
}

/// Watches that count the scans prefetched and the rows read.
struct Counting {
    inner: MemoryWatches,
    ahead: Arc<AtomicUsize>,
    read: Arc<AtomicUsize>,
}

struct CountingView {
    inner: Box<dyn WatchView>,
    ahead: Arc<AtomicUsize>,
    read: Arc<AtomicUsize>,
}

#[async_trait]
impl WatchStore for Counting {
    async fn view(&self) -> Result<Box<dyn WatchView>, Error> {
        let (ahead, read) = (self.ahead.clone(), self.read.clone());
        Ok(Box::new(CountingView { inner: self.inner.view().await?, ahead, read }))
    }
}

#[async_trait]
impl WatchView for CountingView {
    fn wall_time(&self) -> WallTime {
        self.inner.wall_time()
    }

    fn time(&self) -> ViewTime {
        self.inner.time()
    }

    async fn prefetch(&mut self, scans: &[Scan<'_>]) -> Result<(), Error> {
        self.ahead.fetch_add(scans.len(), Relaxed);
        Ok(())
    }

    async fn summary(&mut self, product: &ProductId) -> Result<Summary, Error> {
        self.read.fetch_add(1, Relaxed);
        self.inner.summary(product).await
    }

    async fn scan(&mut self, scan: &Scan<'_>, page: &mut WatchPage) -> Result<Option<Cursor>, Error> {
        self.inner.scan(scan, page).await
    }
}

/// Returns options with which a commit ends by its size alone, even on a slow machine.
fn unhurried() -> Options {
    Options { commit_ms: u64::MAX, ..Options::default() }
}

/// The outcome of a run.
struct Done {
    settled: Vec<Position>,
    ahead: usize,
    read: usize,
}

/// Runs the notifier. `watches` is the number of watches of each product. `partitions` is the
/// product and the price of each record. Records of the product `titled` have a long title.
fn work(watches: &[(&str, usize)], partitions: &[Vec<(String, i64)>], options: Options) -> Done {
    let clock = Arc::new(SetClock::default());
    let store = MemoryWatches::new(clock.clone(), None, usize::MAX);
    for (product, count) in watches {
        (0..*count).for_each(|user| {
            store.insert(watch(product, user));
        });
    }
    let committer = MemoryCommitter::default();
    let places = (0..partitions.len()).map(|place| (Partition(place as i32), 0));
    committer.with(|committed| committed.offsets.extend(places));
    let settled = Arc::<Mutex<Vec<Position>>>::default();
    let (ahead, read) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let source = Greedy {
        partitions: partitions.iter().zip(0..).map(|(updates, place)| records(place, updates)).collect(),
        held_back: Vec::new(),
        settled: settled.clone(),
    };
    let store = Arc::new(Counting { inner: store, ahead: ahead.clone(), read: read.clone() });
    let plugins = Arc::new(Policies::default());
    let notifier = options.build(Box::new(source), Box::new(committer), store, plugins, clock);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (_keep, shutdown) = tokio::sync::watch::channel(false);
    runtime.block_on(notifier.run(shutdown)).unwrap();
    let settled = std::mem::take(&mut *settled.lock().unwrap());
    Done { settled, ahead: ahead.load(Relaxed), read: read.load(Relaxed) }
}

fn watch(product: &str, user: usize) -> Watch {
    Watch {
        product_id: ProductId::new(product).unwrap(),
        price_watch_value: Price::new(1_000, 0).unwrap(),
        user_id: UserId::new(&format!("user{user}")).unwrap(),
        mode: None,
        currency: None,
        updated_at: None,
    }
}

fn records(place: i32, updates: &[(String, i64)]) -> VecDeque<Record> {
    let record = |((product, price), offset): (&(String, i64), i64)| Record {
        position: Position { partition: Partition(place), offset },
        key: None,
        value: Some(
            serde_json::json!({"productId": product, "newPrice": price, "title": title(product)})
                .to_string()
                .into(),
        ),
        timestamp: EventTime(0),
        original: None,
    };
    updates.iter().zip(0..).map(record).collect()
}

fn title(product: &str) -> String {
    "t".repeat(if product == "titled" { 2_000 } else { 0 })
}

#[test]
fn long_notifications_take_more_of_a_commit() {
    let options = Options { commit_watches: 200, page_rows: 10, ..unhurried() };
    for (product, goes_first) in [("plain", true), ("titled", false)] {
        let updates = |product: &str| vec![(product.to_owned(), 900)];
        let done = work(&[(product, 100), ("few", 1)], &[updates(product), updates("few")], options.clone());
        assert_eq!(done.settled.len(), 2);
        assert_eq!(done.settled[0].partition == Partition(0), goes_first, "{product}: {:?}", done.settled);
    }
}

#[test]
fn an_update_of_a_product_with_an_unfinished_fan_out_delays_only_its_partition() {
    let drops = |product: &str| (0..50).map(|step| (product.to_owned(), 900 - step)).collect::<Vec<_>>();
    let options = Options { batch_records: 4, commit_watches: 10, page_rows: 10, ..unhurried() };
    let done = work(&[("many", 1_000), ("few", 1)], &[drops("many"), drops("few")], options);
    assert_eq!(done.settled.len(), 100);
    let first_of_many = done.settled.iter().position(|position| position.partition == Partition(0));
    assert_eq!(first_of_many, Some(50), "{:?}", done.settled);
}

#[test]
fn a_partition_with_more_work_than_one_commit_does_not_starve_the_others() {
    let busy = (0..200).map(|number| (format!("busy{number}"), 900)).collect();
    let quiet = (0..20).map(|step| ("quiet".to_owned(), 900 - step)).collect();
    let names: Vec<String> = (0..200).map(|number| format!("busy{number}")).collect();
    let mut watches: Vec<_> = names.iter().map(|name| (name.as_str(), 5)).collect();
    watches.push(("quiet", 1));
    let options = Options { batch_records: 10, commit_watches: 20, page_rows: 10, ..unhurried() };
    let done = work(&watches, &[busy, quiet], options);
    assert_eq!(done.settled.len(), 220);
    let last_of_quiet = done.settled.iter().rposition(|position| position.partition == Partition(1));
    assert!(last_of_quiet.unwrap() < 150, "{:?}", done.settled);
}

#[test]
fn little_more_is_read_ahead_than_is_committed() {
    let names: Vec<String> = (0..1_000).map(|number| format!("product{number}")).collect();
    let watches: Vec<_> = names.iter().map(|name| (name.as_str(), 100)).collect();
    let drops = names.iter().map(|name| (name.clone(), 900)).collect();
    let done = work(&watches, &[drops], unhurried());
    assert!(done.read >= 1_000 && done.ahead >= done.read, "{} of {}", done.read, done.ahead);
    assert!(done.ahead <= 2 * done.read, "{} read ahead, {} read", done.ahead, done.read);
}
