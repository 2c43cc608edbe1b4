//! Benchmarks the pipeline with Kafka, Cassandra and Redis. The baseline is a bare producer that
//! sends the same bytes to the same broker in the same run.
//!
//! `pricedrop-bench cluster [PART ...]` runs the named parts, or all of them. Each run starts its
//! own servers. The contenders of a part alternate, so that a temporary slowdown of the machine
//! affects all of them.

mod archive;
mod bare;
mod fill;
mod latency;
pub mod processor;
mod resident;
pub mod rig;
pub mod shape;
mod take_over;
mod throughput;
pub mod world;

use shape::Shape;
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

/// Runs the section, or the named parts of it.
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
