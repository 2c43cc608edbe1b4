//! The same job on Kafka, Cassandra and Redis, beside a bare producer that
//! sends the same bytes to the same broker in the same run.

mod bare;
mod rig;

use std::time::Duration;

use pricedrop_adapters::kafka::Delivery;

use crate::{RUNS, per_second, report};
use rig::{Rig, TOLD, Watched};

/// The section.
pub fn run() {
    for (name, products) in
        [("10,000 products x 100 watches", 10_000), ("one product x 1,000,000 watches", 1)]
    {
        shape(name, products);
    }
}

fn shape(name: &str, products: usize) {
    let mut rigs: Vec<(&str, Rig)> = vec![
        ("exactly once", Rig::start(Delivery::ExactlyOnce, Watched::Memory, products)),
        ("at least once", Rig::start(Delivery::AtLeastOnce, Watched::Memory, products)),
    ];
    let bare = bare::Producer::new(&rigs[0].1.settings, products);
    // One round warms everything up; then they take turns, so that a slow
    // minute of the machine slows all of them.
    let mut times: Vec<Vec<Duration>> = vec![Vec::new(); rigs.len() + 1];
    for round in 0..=RUNS {
        let mut turn = vec![bare.send()];
        turn.extend(rigs.iter_mut().map(|(_, rig)| rig.drop_all()));
        if round > 0 {
            times.iter_mut().zip(turn).for_each(|(times, time)| times.push(time));
        }
    }
    let medians: Vec<Duration> = times.into_iter().map(median).collect();
    report(&format!("{name}: bare producer"), figure(medians[0]), None);
    for ((what, _), time) in rigs.iter().zip(&medians[1..]) {
        let ratio = medians[0].as_secs_f64() / time.as_secs_f64();
        report(&format!("{name}: {what}"), figure(*time), Some(ratio));
    }
}

fn figure(time: Duration) -> String {
    format!("{:.0} notif./s", per_second(TOLD, time))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
