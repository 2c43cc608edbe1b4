//! Measures resident memory while a million users are notified. Each measurement runs in a child
//! process that does nothing else.

use std::process::Command;

use pricedrop_kafka::Delivery;

use super::rig::{PARTITIONS, Rig, Watched};
use super::shape::Shape;
use super::world::{Addresses, World};
use crate::measure::{RUNS, report};

/// The first argument of that child process.
pub const CHILD: &str = "resident-alone";

/// Runs the part.
pub fn run(world: &mut World) {
    world.fill();
    for (watched, name) in
        [(Watched::Cache, "Redis before Cassandra"), (Watched::Cassandra, "Cassandra alone")]
    {
        let mut grown: Vec<(f64, f64)> = (0..RUNS).map(|_| grow(&world.addresses, watched)).collect();
        grown.sort_by(|one, other| one.1.total_cmp(&other.1));
        let (idle, growth) = grown[grown.len() / 2];
        report(&format!("resident, idle, {name}"), format!("{idle:.0} MiB"), None);
        report(&format!("grows while 1,000,000 are told, {name}"), format!("{growth:.0} MiB"), None);
    }
}

/// Returns the memory when idle, and the largest growth, in MiB.
fn grow(at: &Addresses, watched: Watched) -> (f64, f64) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let watched = if watched == Watched::Cache { "cache" } else { "cassandra" };
    let argument = format!("{watched}/{}", at.to_argument());
    let output = command.args(["cluster", CHILD, &argument]).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let numbers: Vec<f64> =
        printed.lines().last().unwrap().split_whitespace().map(|number| number.parse().unwrap()).collect();
    (numbers[0], numbers[1])
}

/// Runs as the child process: measures once, and prints the result.
pub fn child(argument: &str) {
    let (watched, at) = argument.split_once('/').unwrap();
    let watched = if watched == "cache" { Watched::Cache } else { Watched::Cassandra };
    let mut rig = Rig::start(&Addresses::from_argument(at), Delivery::ExactlyOnce, watched, Shape::One);
    rig.serves(PARTITIONS as usize);
    let idle = mebibytes("VmRSS:");
    // Writing 5 resets the peak, VmHWM.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    rig.drop_all();
    println!("{idle} {}", mebibytes("VmHWM:") - idle);
}

fn mebibytes(what: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}
