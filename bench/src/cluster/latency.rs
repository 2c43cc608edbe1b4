//! Latency from the produce of an update to its notifications at a reader of committed
//! records, under half the load that the pipeline can process.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pricedrop_kafka::{Delivery, Settings};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Message, Offset, TopicPartitionList};

use super::rig::{PARTITIONS, PATIENCE, Rig, Watched};
use super::shape::Shape;
use super::world::{World, say};
use crate::measure::{RUNS, Times, report};

/// How often every product drops in a round.
const LAPS: usize = 3;
/// The interval at which the updates that are due are sent.
const STEP: Duration = Duration::from_millis(1);

/// Runs the part.
pub fn run(world: &mut World) {
    world.fill();
    let shape = Shape::Many;
    let mut rig = Rig::start(&world.addresses, Delivery::ExactlyOnce, Watched::Cache, shape);
    let mut full = Times::default();
    for round in 0..1 + RUNS {
        let time = rig.drop_all();
        rig.settle();
        if round > 0 {
            full.0.push(time);
        }
    }
    let updates_a_second = shape.products() as f64 / full.median().as_secs_f64() / 2.0;
    say(&format!("full load is {:.0} updates/s", updates_a_second * 2.0));
    let mut rounds: Vec<Round> = (0..RUNS).map(|_| round(&mut rig, updates_a_second)).collect();
    let mut median = |of: fn(&Round) -> f64| {
        rounds.sort_by(|one, other| of(one).total_cmp(&of(other)));
        of(&rounds[RUNS / 2])
    };
    let load = format!("{:.0} updates/s", median(|round| round.updates_a_second));
    report("half load, 100 notifications an update", load, None);
    report("update to visible notification, p50", format!("{:.1} ms", median(|round| round.p50_ms)), None);
    report("update to visible notification, p99", format!("{:.1} ms", median(|round| round.p99_ms)), None);
    report(
        "update to visible notification, the slowest",
        format!("{:.1} ms", median(|round| round.most_ms)),
        None,
    );
}

/// The result of a round.
struct Round {
    updates_a_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    most_ms: f64,
}

fn round(rig: &mut Rig, updates_a_second: f64) -> Round {
    let products = Shape::Many.products();
    let watcher = Watcher::start(&rig.settings, rig.price);
    let begun = Instant::now();
    for lap in 0..LAPS {
        rig.price -= 1;
        for product in 0..products {
            pace(begun, lap * products + product, updates_a_second);
            watcher.sends_next();
            rig.send(product);
        }
    }
    rig.flush();
    let sent = begun.elapsed();
    let mut seen = watcher.finish(LAPS * products);
    seen.sort();
    let at_ms = |share: f64| seen[((seen.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    let updates_a_second = (LAPS * products) as f64 / sent.as_secs_f64();
    Round { updates_a_second, p50_ms: at_ms(0.5), p99_ms: at_ms(0.99), most_ms: at_ms(1.0) }
}

/// Waits until an update is due.
fn pace(begun: Instant, number: usize, a_second: f64) {
    let due = begun + Duration::from_secs_f64(number as f64 / a_second);
    while Instant::now() < due {
        std::thread::park_timeout(STEP);
    }
}

/// Records when each update was sent, and when the notification of its first watcher was read.
struct Watcher {
    sent: Arc<Mutex<Vec<Instant>>>,
    stop: Arc<AtomicBool>,
    seen: std::thread::JoinHandle<Vec<Duration>>,
}

impl Watcher {
    fn start(settings: &Settings, price: i64) -> Watcher {
        let consumer: BaseConsumer = settings.reader().create().unwrap();
        let topic = settings.topics.notifications.clone();
        let mut list = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            let (_, end) = consumer.fetch_watermarks(&topic, partition, PATIENCE).unwrap();
            list.add_partition_offset(&topic, partition, Offset::Offset(end)).unwrap();
        }
        consumer.assign(&list).unwrap();
        let (sent, stop) = (Arc::<Mutex<Vec<Instant>>>::default(), Arc::new(AtomicBool::new(false)));
        let (seen_sent, seen_stop) = (sent.clone(), stop.clone());
        let watch = move || {
            let mut seen = Vec::new();
            while !seen_stop.load(Relaxed) || seen.len() < seen_sent.lock().unwrap().len() {
                let Some(message) = consumer.poll(Duration::from_millis(20)) else { continue };
                let message = message.unwrap();
                let Some((product, lap)) = update_of(message.key(), message.payload(), price) else {
                    continue;
                };
                let now = Instant::now();
                let number = lap * Shape::Many.products() + product;
                seen.push(now - seen_sent.lock().unwrap()[number]);
            }
            seen
        };
        Watcher { sent, stop, seen: std::thread::Builder::new().name("watcher".into()).spawn(watch).unwrap() }
    }

    /// Records that the next update is sent now.
    fn sends_next(&self) {
        self.sent.lock().unwrap().push(Instant::now());
    }

    fn finish(self, updates: usize) -> Vec<Duration> {
        self.stop.store(true, Relaxed);
        let seen = self.seen.join().unwrap();
        assert_eq!(seen.len(), updates, "each update's first watcher was told once");
        seen
    }
}

/// Returns product and lap of a notification to the first watcher of a product.
fn update_of(key: Option<&[u8]>, value: Option<&[u8]>, price: i64) -> Option<(usize, usize)> {
    let user = std::str::from_utf8(key?).ok()?.strip_prefix("user-")?;
    let product = user.strip_suffix("00")?.parse().ok()?;
    let (_, rest) = std::str::from_utf8(value?).ok()?.split_once(r#""newPrice":"#)?;
    let now: f64 = rest.split_once(',')?.0.parse().ok()?;
    Some((product, (price - (now * 100.0).round() as i64) as usize - 1))
}
