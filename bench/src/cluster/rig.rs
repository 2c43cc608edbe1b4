//! A notifier over Kafka in this process, and a producer of its updates.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pricedrop_cassandra::Cassandra;
use pricedrop_kafka as kafka;
use pricedrop_kafka::{Delivery, InstanceId, Metrics, Settings, Status};
use pricedrop_memory::MemoryWatches;
use pricedrop_model::dispatch::CurrentPrices;
use pricedrop_model::notification::Format;
use pricedrop_model::plugin::Plugins;
use pricedrop_model::ports::{PriceSink, WatchStore};
use pricedrop_model::time::SystemClock;
use pricedrop_model::{Currency, WallTime, Watch};
use pricedrop_pipeline::notifier;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use tokio::runtime::Runtime;

use super::shape::{Shape, TOLD};
use super::world::{Addresses, unique};
use crate::native;
use crate::rig::{cents, update};

/// Partitions of each topic.
pub const PARTITIONS: i32 = 4;
/// Longest wait for anything.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// Where the notifier reads watches from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watched {
    /// The memory of this process: measures the rest of the pipeline alone.
    Memory,
    /// Cassandra.
    Cassandra,
    /// Redis, in front of Cassandra.
    Cache,
}

/// A running notifier over Kafka.
pub struct Rig {
    /// The names of its topics, and its brokers.
    pub settings: Settings,
    /// The notifier's metrics.
    pub metrics: Metrics,
    /// The price of the last drop, in cents.
    pub price: i64,
    shape: Shape,
    store: Option<Cassandra>,
    producer: BaseProducer,
    stop: tokio::sync::watch::Sender<bool>,
    notifier: Option<JoinHandle<()>>,
    status: Status,
    folder: tempfile::TempDir,
    runtime: Runtime,
    _instance_id: InstanceId,
}

impl Rig {
    /// Starts a notifier over the watches of this shape, with new topics.
    pub fn start(at: &Addresses, delivery: Delivery, watched: Watched, shape: Shape) -> Rig {
        let folder = tempfile::tempdir().unwrap();
        let runtime = Runtime::new().unwrap();
        let settings = runtime.block_on(at.topics(&unique(folder.path()), PARTITIONS));
        let plugins = native::shipped();
        let store = (watched != Watched::Memory)
            .then(|| runtime.block_on(at.watches(watched == Watched::Cache, plugins.clone())));
        let watches: Arc<dyn WatchStore> = match &store {
            Some(store) => Arc::new(store.watches()),
            None => memory(shape.watches(), &*plugins),
        };
        Rig::over(folder, runtime, settings, delivery, (watches, plugins), (shape, store))
    }

    /// Starts a notifier on existing topics.
    pub fn over(
        folder: tempfile::TempDir,
        runtime: Runtime,
        settings: Settings,
        delivery: Delivery,
        (watches, plugins): (Arc<dyn WatchStore>, Arc<dyn Plugins>),
        (shape, store): (Shape, Option<Cassandra>),
    ) -> Rig {
        let metrics = Metrics::default();
        let options = kafka::Options {
            settings: settings.clone(),
            start: Some(kafka::Start::Earliest),
            first_price_is_set: true,
            delivery,
            format: Format::Full,
            shadow: false,
            prices: store.as_ref().map(|store| Arc::new(store.prices()) as Arc<dyn PriceSink>),
            metrics: metrics.clone(),
        };
        let instance_id = kafka::InstanceId::take(folder.path()).unwrap();
        let worker = kafka::start_worker(options, &instance_id, 0, None).unwrap();
        let (source, committer) = (Box::new(worker.source), Box::new(worker.committer));
        let notifier =
            notifier::Options::default().build(source, committer, watches, plugins, Arc::new(SystemClock));
        let (stop, told) = tokio::sync::watch::channel(false);
        let handle = runtime.handle().clone();
        let work = move || handle.block_on(notifier.run(told)).unwrap();
        let notifier = Some(std::thread::Builder::new().name("notifier".into()).spawn(work).unwrap());
        let producer = ClientConfig::new()
            .set("bootstrap.servers", &settings.properties["bootstrap.servers"])
            .set("partitioner", "murmur2_random")
            .create()
            .unwrap();
        let status = worker.status;
        Rig {
            settings,
            metrics,
            price: 9_000,
            shape,
            store,
            producer,
            stop,
            notifier,
            status,
            folder,
            runtime,
            _instance_id: instance_id,
        }
    }

    /// Drops every product once, to below all thresholds, and waits until the notifications of
    /// all users are committed. Returns the time that took.
    pub fn drop_all(&mut self) -> Duration {
        self.price -= 1;
        let before = self.metrics.notifications.get();
        let begun = Instant::now();
        for product in 0..self.shape.products() {
            self.send(product);
        }
        self.producer.flush(PATIENCE).unwrap();
        self.wait(begun, || self.metrics.notifications.get() - before >= TOLD as u64);
        begun.elapsed()
    }

    /// Sends the current price of one product.
    pub fn send(&self, product: usize) {
        let (key, value) =
            (self.shape.product(product), update(self.shape.number(product), cents(self.price)));
        let topic = &self.settings.topics.prices;
        let mut record = BaseRecord::to(topic).key(key.as_str()).payload(&value[..]);
        while let Err((_, again)) = self.producer.send(record) {
            self.producer.poll(Duration::from_millis(1));
            record = again;
        }
        self.producer.poll(Duration::ZERO);
    }

    /// Waits until the broker has acknowledged everything that was sent.
    pub fn flush(&self) {
        self.producer.flush(PATIENCE).unwrap();
    }

    /// Waits until the current prices of the last drops are stored, which happens after the
    /// commits. Checks a sample of the products.
    pub fn settle(&self) {
        let Some(store) = &self.store else { return };
        let (prices, begun, wanted) = (store.prices(), Instant::now(), cents(self.price));
        let step = (self.shape.products() / 64).max(1);
        for product in (0..self.shape.products()).step_by(step) {
            let product = self.shape.product(product);
            let shown = || {
                let shown = self.runtime.block_on(prices.of(&product, Currency::USD)).unwrap();
                shown.is_some_and(|(last, _)| last.price <= wanted)
            };
            self.wait(begun, shown);
        }
    }

    /// Waits until the notifier serves this many partitions.
    pub fn serves(&self, partitions: usize) {
        self.wait(Instant::now(), || self.status.serving().len() == partitions);
    }

    /// Waits until this many records of its one partition are committed.
    pub fn evaluated(&self, records: usize) {
        self.wait(Instant::now(), || self.status.serving().iter().any(|(_, next)| *next >= records as i64));
    }

    fn wait(&self, begun: Instant, done: impl Fn() -> bool) {
        while !done() {
            assert!(begun.elapsed() < PATIENCE, "a notifier does not come to an end");
            std::thread::park_timeout(Duration::from_micros(200));
        }
    }

    /// Stops the notifier. Its folder, runtime and settings can be used for the next one.
    pub fn stop(mut self) -> (tempfile::TempDir, Runtime, Settings) {
        self.end();
        let empty = (tempfile::tempdir().unwrap(), Runtime::new().unwrap());
        let folder = std::mem::replace(&mut self.folder, empty.0);
        let runtime = std::mem::replace(&mut self.runtime, empty.1);
        (folder, runtime, self.settings.clone())
    }

    fn end(&mut self) {
        self.stop.send_replace(true);
        let _ = self.notifier.take().map(JoinHandle::join);
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.end();
    }
}

/// Returns a store of watches in the memory of this process.
pub fn memory(watches: impl Iterator<Item = Watch>, plugins: &dyn Plugins) -> Arc<dyn WatchStore> {
    let store = MemoryWatches::new(Arc::new(SystemClock), plugins.bucketing(), 10_000);
    watches.for_each(|watch| {
        store.insert(Watch { updated_at: Some(WallTime(0)), ..watch });
    });
    Arc::new(store)
}
