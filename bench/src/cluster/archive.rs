//! The cost of an archiver for the notifier that runs beside it: the same work with and without.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pricedrop_archive::{AccessKey, Archiver, Bucket, Limits, Metrics, Options};
use pricedrop_harness::servers::{Kind, Own};
use pricedrop_kafka::{Delivery, KafkaArchiveSource, Settings};
use pricedrop_model::time::SystemClock;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::processor::Processor;
use super::rig::{PATIENCE, Rig, Watched};
use super::shape::{Shape, TOLD};
use super::world::{World, say};
use crate::measure::{RUNS, Times, per_second, ratio, report};

/// Rounds before the measured ones.
const WARM_UPS: usize = 2;

/// An archiver of updates and notifications, which runs until it is dropped.
struct Beside {
    metrics: Arc<Metrics>,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
    /// The runtime of its requests.
    _runtime: Runtime,
}

impl Beside {
    fn start(server: &Own, settings: &Settings) -> Beside {
        let options = Options {
            url: format!("s3://pricedrop/{}", settings.group),
            endpoint: Some(format!("http://{}", server.address())),
            region: None,
            access_key: Some(AccessKey { id: "admin".into(), secret: "admin-secret".into() }),
        };
        let client = pricedrop_outbound::trusting_client(None).unwrap();
        let bucket = Bucket::open(&options, client).unwrap();
        let (stop, stopping) = watch::channel(false);
        let (metrics, runtime) = (Arc::new(Metrics::default()), Runtime::new().unwrap());
        let topics = [&settings.topics.prices, &settings.topics.notifications];
        let threads = topics.map(|topic| {
            let archiver = Archiver {
                source: Box::new(KafkaArchiveSource::join(settings, topic).unwrap()),
                bucket: bucket.clone(),
                group: settings.group.clone(),
                limits: Limits { object_bytes: 16 << 20, object_age_ms: 1_000, memory_bytes: 128 << 20 },
                clock: Arc::new(SystemClock),
                metrics: Arc::clone(&metrics),
                stop: stopping.clone(),
            };
            let handle = runtime.handle().clone();
            std::thread::spawn(move || archiver.run(&handle))
        });
        Beside { metrics, stop, threads: threads.into(), _runtime: runtime }
    }

    fn records(&self) -> u64 {
        self.metrics.snapshots().iter().map(|one| one.records).sum()
    }

    /// Waits until the archive has this many records.
    fn wait_for(&self, records: u64) {
        let begun = Instant::now();
        while self.records() < records {
            assert!(begun.elapsed() < PATIENCE, "{} of {records} records are archived", self.records());
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Runs the part.
pub fn run(world: &mut World) {
    let folder = tempfile::tempdir().unwrap();
    let s3 = Own::with(Kind::S3, folder.path(), &["--fresh"]).unwrap();
    let at = world.addresses.clone();
    let shape = Shape::Many;
    let mut rigs = [(); 2].map(|()| Rig::start(&at, Delivery::ExactlyOnce, Watched::Memory, shape));
    let beside = Beside::start(&s3, &rigs[1].settings);
    let each = (TOLD + shape.products()) as u64;
    let mut archived = 0;
    let mut times = [Times::default(), Times::default(), Times::default()];
    let mut processors = [Processor::default(), Processor::default()];
    for round in 0..WARM_UPS + RUNS {
        for turn in [round % 2, (round + 1) % 2] {
            let before = Processor::now(world);
            let begun = Instant::now();
            let took = rigs[turn].drop_all();
            if turn == 1 {
                archived += each;
                beside.wait_for(archived);
            }
            let until_archived = begun.elapsed();
            if round < WARM_UPS {
                continue;
            }
            times[turn].0.push(took);
            processors[turn].add_between(&before, &Processor::now(world));
            if turn == 1 {
                times[2].0.push(until_archived);
            }
        }
        say(&format!("archive: round {round}"));
    }
    let names = ["without an archiver", "with an archiver beside it", "until everything is archived"];
    for (name, one) in names.iter().zip(&times) {
        let figure = format!("{:.0}/s", per_second(TOLD, one.median()));
        report(&format!("archive: {name}"), figure, Some(ratio(one, &times[0])));
    }
    for (name, processor) in names.iter().zip(&processors) {
        println!("    {name}: processor seconds a round: {}", processor.each(RUNS));
    }
    let bytes: u64 = beside.metrics.snapshots().iter().map(|one| one.bytes).sum();
    println!("    {:.1} compressed bytes a record", bytes as f64 / beside.records() as f64);
}
