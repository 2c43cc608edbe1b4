//! A notifier over Kafka in this process.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pricedrop_adapters::kafka::topics::{self, NewTopics};
use pricedrop_adapters::kafka::{self, Delivery, Figures, Settings, Slot};
use pricedrop_adapters::memory::MemoryWatches;
use pricedrop_model::notification::Format;
use pricedrop_model::plugin::Plugins;
use pricedrop_model::seams::WatchStore;
use pricedrop_model::time::SystemClock;
use pricedrop_model::{Mode, WallTime, Watch};
use pricedrop_pipeline::notifier;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use tokio::runtime::Runtime;

use crate::native;
use crate::rig::{cents, update, watch};

/// Notifications of one round.
pub const TOLD: usize = 1_000_000;
const PARTITIONS: i32 = 4;
const PATIENCE: Duration = Duration::from_secs(120);

/// Where watches are read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watched {
    /// This process: the rest of the pipeline alone.
    Memory,
}

/// A running notifier.
pub struct Rig {
    /// Its topics.
    pub settings: Settings,
    products: usize,
    price: i64,
    figures: Arc<Figures>,
    producer: BaseProducer,
    stop: tokio::sync::watch::Sender<bool>,
    notifier: Option<JoinHandle<()>>,
    _slot: Slot,
    _folder: tempfile::TempDir,
    _runtime: Runtime,
}

impl Rig {
    /// Starts one, with a million watches spread over so many products.
    pub fn start(delivery: Delivery, watched: Watched, products: usize) -> Rig {
        let runtime = Runtime::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let bootstrap = pricedrop_harness::servers::kafka();
        let mut settings = Settings::new(&bootstrap);
        name_topics(&mut settings, folder.path().file_name().unwrap().to_str().unwrap());
        let new = NewTopics { partitions: PARTITIONS, replication: 1 };
        runtime.block_on(topics::apply(&settings, new)).unwrap();
        let plugins = native::shipped();
        let watches: Arc<dyn WatchStore> = match watched {
            Watched::Memory => memory(products, &*plugins),
        };
        let figures = Arc::new(Figures::default());
        let options = kafka::Options {
            settings: settings.clone(),
            start: Some(kafka::Start::Earliest),
            first_price_is_set: true,
            delivery,
            format: Format::Full,
            shadow: false,
            prices: None,
            figures: figures.clone(),
        };
        let slot = kafka::take_slot(folder.path()).unwrap();
        let worker = kafka::start_worker(options, &slot, 0, None).unwrap();
        let (source, committer) = (Box::new(worker.source), Box::new(worker.committer));
        let notifier =
            notifier::Options::default().build(source, committer, watches, plugins, Arc::new(SystemClock));
        let (stop, told) = tokio::sync::watch::channel(false);
        let handle = runtime.handle().clone();
        let notifier = std::thread::spawn(move || handle.block_on(notifier.run(told)).unwrap());
        let producer = ClientConfig::new()
            .set("bootstrap.servers", &bootstrap)
            .set("partitioner", "murmur2_random")
            .create()
            .unwrap();
        let notifier = Some(notifier);
        let (price, _folder, _slot, _runtime) = (9_000, folder, slot, runtime);
        Rig { settings, products, price, figures, producer, stop, notifier, _slot, _folder, _runtime }
    }

    /// Drops every product once more, below all thresholds, and waits until
    /// everybody's notification is committed.
    pub fn drop_all(&mut self) -> Duration {
        self.price -= 1;
        let before = self.figures.notifications.load(Relaxed);
        let begun = Instant::now();
        for product in 0..self.products {
            let (key, value) = (format!("P{product}"), update(product, cents(self.price)));
            let record = BaseRecord::to(&self.settings.topics.prices).key(&key).payload(&value[..]);
            self.producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        self.producer.flush(PATIENCE).unwrap();
        while self.figures.notifications.load(Relaxed) - before < TOLD as u64 {
            assert!(begun.elapsed() < PATIENCE, "not everybody was told");
            std::thread::park_timeout(Duration::from_micros(200));
        }
        begun.elapsed()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        let _ = self.notifier.take().map(JoinHandle::join);
    }
}

fn name_topics(settings: &mut Settings, unique: &str) {
    let unique = unique.replace('.', "");
    settings.group = unique.clone();
    let topics = &mut settings.topics;
    for name in [
        &mut topics.prices,
        &mut topics.notifications,
        &mut topics.dead_updates,
        &mut topics.state,
        &mut topics.removals,
        &mut topics.retries,
        &mut topics.dead_deliveries,
    ] {
        *name = format!("{unique}.{name}");
    }
}

fn memory(products: usize, plugins: &dyn Plugins) -> Arc<dyn WatchStore> {
    let store = MemoryWatches::new(Arc::new(SystemClock), plugins.bucketing(), 10_000);
    everybody(products).for_each(|watch| {
        store.put(Watch { updated_at: Some(WallTime(0)), ..watch });
    });
    Arc::new(store)
}

/// A million watches, each of another user.
fn everybody(products: usize) -> impl Iterator<Item = Watch> {
    let each = TOLD / products;
    (0..TOLD).map(move |user| watch(user / each, cents(10_000 + (user % each) as i64), user, Mode::EveryDrop))
}
