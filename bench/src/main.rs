//! Every figure the README quotes. `pricedrop-bench [SECTION ...]`, and of the
//! section `cluster` also parts: `pricedrop-bench cluster [PART ...]`.

#![allow(clippy::unwrap_used)]

mod cluster;
mod decision;
mod memory;
mod native;
mod plugins;
mod rig;
mod throughput;

use std::time::{Duration, Instant};

const SECTIONS: [(&str, fn()); 4] = [
    ("throughput", throughput::run),
    ("plugins", plugins::run),
    ("decision", decision::run),
    ("memory", memory::run),
];

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    for (name, run) in SECTIONS {
        if asked.is_empty() || asked.iter().any(|section| section == name) {
            println!("\n{name}");
            run();
        }
    }
    if asked.is_empty() || asked[0] == "cluster" {
        println!("\ncluster");
        cluster::run(asked.get(1..).unwrap_or_default());
    }
}

/// Runs of which the median counts.
const RUNS: usize = 5;

/// The median time of `RUNS` runs.
fn median(mut run: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..RUNS)
        .map(|_| {
            let begun = Instant::now();
            run();
            begun.elapsed()
        })
        .collect();
    times.sort();
    times[RUNS / 2]
}

fn per_second(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

/// One line of the report.
fn report(what: &str, figure: String, ratio: Option<f64>) {
    let ratio = ratio.map(|ratio| format!("{ratio:>8.2} x")).unwrap_or_default();
    println!("  {what:<58} {figure:>18} {ratio}");
}
