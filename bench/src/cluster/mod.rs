//! The same job on Kafka, Cassandra and Redis, beside a bare producer that
//! sends the same bytes to the same broker in the same run.
//!
//! `pricedrop-bench cluster [PART ...]`; every part can be run alone. The
//! servers are the run's own. What is compared takes turns, so that a slow
//! minute of the machine slows all of it.

mod archive;
mod bare;
mod fill;
mod latency;
mod processor;
mod resident;
mod rig;
mod take_over;
mod throughput;
mod world;

use std::time::Duration;

use pricedrop_model::{Mode, ProductId, Watch};

use crate::rig::{cents, watch};
use world::World;

type Part = (&'static str, fn(&mut World));

const PARTS: [Part; 6] = [
    ("resident", resident::run),
    ("take-over", take_over::run),
    ("many-products", |world| throughput::run(world, Shape::Many)),
    ("one-product", |world| throughput::run(world, Shape::One)),
    ("latency", latency::run),
    ("archive", archive::run),
];

/// The section, or parts of it.
pub fn run(asked: &[String]) {
    if let [part, addresses] = asked
        && part == resident::CHILD
    {
        return resident::child(addresses);
    }
    let names = PARTS.map(|(name, _)| name);
    if let Some(unknown) = asked.iter().find(|part| !names.contains(&part.as_str())) {
        return eprintln!("no part {unknown}; there are: {}", names.join(", "));
    }
    let wanted = |name: &str| asked.is_empty() || asked.iter().any(|part| part == name);
    let mut world = World::start();
    for (name, part) in PARTS.into_iter().filter(|(name, _)| wanted(name)) {
        world::say(name);
        part(&mut world);
    }
}

/// Notifications of one round.
pub const TOLD: usize = 1_000_000;

/// How a million watches lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Ten thousand products of a hundred.
    Many,
    /// All on one product.
    One,
}

impl Shape {
    fn name(self) -> &'static str {
        match self {
            Shape::Many => "10,000 x 100",
            Shape::One => "1 x 1,000,000",
        }
    }

    /// How many products there are.
    pub fn products(self) -> usize {
        match self {
            Shape::Many => 10_000,
            Shape::One => 1,
        }
    }

    /// Both shapes lie in one store: the number of a product in it.
    pub fn number(self, product: usize) -> usize {
        match self {
            Shape::Many => product,
            Shape::One => 10_000,
        }
    }

    /// A product.
    pub fn product(self, product: usize) -> ProductId {
        ProductId::new(&format!("P{}", self.number(product))).unwrap()
    }

    /// A million watches, each of another user.
    pub fn watches(self) -> impl Iterator<Item = Watch> {
        let each = TOLD / self.products();
        (0..TOLD).map(move |user| {
            let threshold = cents(10_000 + (user % each) as i64);
            watch(self.number(user / each), threshold, user, Mode::EveryDrop)
        })
    }
}

/// Times of one contender.
#[derive(Default, Clone)]
struct Times(Vec<Duration>);

impl Times {
    fn median(&self) -> Duration {
        let mut times = self.0.clone();
        times.sort();
        times[times.len() / 2]
    }

    /// Half of what lies between the fastest and the slowest, of the median.
    fn spread(&self) -> f64 {
        let seconds = || self.0.iter().map(Duration::as_secs_f64);
        let (least, most) = (seconds().fold(f64::MAX, f64::min), seconds().fold(0.0, f64::max));
        (most - least) / 2.0 / self.median().as_secs_f64()
    }
}

/// The median over the rounds of what one time is to another in the same round.
fn ratio(of: &Times, to: &Times) -> f64 {
    let mut ratios: Vec<f64> =
        of.0.iter().zip(&to.0).map(|(of, to)| to.as_secs_f64() / of.as_secs_f64()).collect();
    ratios.sort_by(f64::total_cmp);
    ratios[ratios.len() / 2]
}
