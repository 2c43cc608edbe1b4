//! The configuration: one TOML file, environment overrides, defaults.
//!
//! ```text
//! tables/ ──▶ read.rs ──▶ Config ──▶ options.rs, servers.rs ──▶ each crate's Options
//! (structs)     │  └──▶ problem.rs (every problem with its location in the file)
//!      └────────┴───────▶ reference.rs, json_schema.rs (the example, docs/config.md,
//!                         schema/config.schema.json)
//! ```
//!
//! A key is defined once, in `tables/`: its type, default, range and documentation. The
//! struct field, what is read and refused, the environment variable, the example, the
//! reference and the JSON Schema follow from that. The types a key may have are in
//! `setting.rs` and `choice.rs`.
//!
//! Serde does not read the file, because it stops at the first error. The operator gets all
//! errors at once, each with its location.
//!
//! Nothing here opens a store or a plugin. A secret is read when it is used, and is never printed.

mod archive;
mod choice;
mod contradictions;
mod field;
mod json_schema;
mod kafka;
mod key;
mod options;
mod problem;
mod raw;
mod read;
mod reference;
mod secret;
mod servers;
mod setting;
mod table;
pub mod tables;
#[cfg(test)]
mod tests;
mod units;

pub use choice::{LeaseStore, LogFormat, LogStore, WatchCache, WatchStore};
pub use field::Kind;
pub use json_schema::json_schema;
pub(crate) use key::key;
pub use problem::{Problem, Refused};
pub use read::CONFIG_VARIABLE;
pub use reference::{example, markdown};
pub use setting::Listen;
pub use tables::{Config, Field, Table, fields, tables};
pub use units::ByteSize;
pub(crate) use units::to_millis;
