//! The engine on real Kafka, Cassandra and Redis tells exactly what its
//! offline twin prints, whatever is done to it and to them.

#![allow(missing_docs, clippy::unwrap_used)]

mod equals_simulate;
#[path = "../live/files.rs"]
#[allow(dead_code)]
mod files;
mod rig;
