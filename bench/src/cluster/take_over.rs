//! The time that a worker takes to acquire a partition whose states topic holds a million products.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pricedrop_kafka::{Delivery, Settings};
use pricedrop_memory::MemoryWatches;
use pricedrop_model::ports::WatchStore;
use pricedrop_model::time::SystemClock;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Message, Offset, TopicPartitionList};
use tokio::runtime::Runtime;

use super::rig::{PATIENCE, Rig};
use super::shape::Shape;
use super::world::{World, say, unique};
use crate::measure::{RUNS, Times, ratio, report};
use crate::native;
use crate::rig::{cents, update};

const PRODUCTS: usize = 1_000_000;

/// Runs the part.
pub fn run(world: &mut World) {
    let folder = tempfile::tempdir().unwrap();
    let runtime = Runtime::new().unwrap();
    let settings = runtime.block_on(world.addresses.topics(&unique(folder.path()), 1));
    let mut parts = evaluate_all((folder, runtime, settings));
    let (mut restarts, mut bare) = (Times::default(), Times::default());
    let mut taking_over = Times::default();
    for round in 0..RUNS {
        bare.0.push(read(&parts.2));
        let begun = Instant::now();
        let rig = start(parts);
        rig.serves(1);
        restarts.0.push(begun.elapsed());
        let took = rig.metrics.partition_acquisition_seconds.sum();
        taking_over.0.push(Duration::from_secs_f64(took));
        say(&format!("take-over {round}: {took:.3} s, reading alone {:.2} s", bare.0[round].as_secs_f64()));
        parts = rig.stop();
    }
    let seconds = |times: &Times| format!("{:.2} s", times.median().as_secs_f64());
    report("bare consumer reads the states of 1,000,000 products", seconds(&bare), None);
    report(
        "a worker takes that partition over",
        seconds(&taking_over),
        Some(1.0 / ratio(&taking_over, &bare)),
    );
    report("from its start until it serves", seconds(&restarts), None);
}

type Parts = (tempfile::TempDir, Runtime, Settings);

/// Starts a notifier without watches: it evaluates every price and notifies nobody.
fn start((folder, runtime, settings): Parts) -> Rig {
    let plugins = native::shipped();
    let none: Arc<dyn WatchStore> = Arc::new(MemoryWatches::new(Arc::new(SystemClock), None, 10_000));
    Rig::over(folder, runtime, settings, Delivery::ExactlyOnce, (none, plugins), (Shape::Many, None))
}

/// Lets a notifier evaluate every product once, so that it stores all states.
fn evaluate_all(parts: Parts) -> Parts {
    let begun = Instant::now();
    let rig = start(parts);
    let producer: BaseProducer = rig.settings.idempotent().create().unwrap();
    for product in 0..PRODUCTS {
        let (key, value) = (format!("P{product}"), update(product, cents(10_000 + product as i64 % 9_999)));
        let mut record = BaseRecord::to(&rig.settings.topics.prices).key(&key).payload(&value[..]);
        while let Err((_, again)) = producer.send(record) {
            producer.poll(Duration::from_millis(2));
            record = again;
        }
        if product % 1_000 == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    producer.flush(PATIENCE).unwrap();
    rig.evaluated(PRODUCTS);
    say(&format!("a million products are evaluated after {:.0} s", begun.elapsed().as_secs_f64()));
    rig.stop()
}

/// Reads the states topic to its last record, and returns the time that took.
fn read(settings: &Settings) -> Duration {
    let begun = Instant::now();
    let consumer: BaseConsumer = settings.reader().create().unwrap();
    let topic = &settings.topics.state;
    let (_, end) = consumer.fetch_watermarks(topic, 0, PATIENCE).unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&list).unwrap();
    loop {
        assert!(begun.elapsed() < PATIENCE, "the states were not read");
        // The last offset is the marker of a transaction.
        let message = consumer.poll(Duration::from_millis(100));
        if message.is_some_and(|message| message.unwrap().offset() >= end - 2) {
            return begun.elapsed();
        }
    }
}
