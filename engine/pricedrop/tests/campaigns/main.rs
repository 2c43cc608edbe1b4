//! The engine on real Kafka, Cassandra and Redis notifies exactly what `simulate` prints, whatever
//! faults the engine and the servers have.

#![allow(missing_docs, clippy::unwrap_used)]

mod equals_simulate;
mod fan_out;
mod faults;
#[path = "../live/files.rs"]
#[allow(dead_code)]
mod files;
mod rig;

/// Returns the seed of this run.
fn seed() -> u64 {
    let seed = number("PRICEDROP_TEST_SEED").unwrap_or(0xC10);
    eprintln!("PRICEDROP_TEST_SEED={seed}");
    seed
}

/// Returns a number that `make test-faults` sets.
fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}
