//! The configuration: one TOML file, environment overrides, defaults.
//!
//! ```text
//! fields/ ──▶ reader.rs ──▶ Config ──▶ options.rs, servers.rs ──▶ each crate's Options
//! (the table)     │    └──▶ problem.rs (a report with the place in the file)
//!      └──────────┴───────▶ reference.rs (the example, docs/config.md)
//! ```
//!
//! One table of fields drives everything: what is read and refused, the names
//! of environment variables, the example and the reference. Nothing here opens
//! a store or a plugin. A secret is read when it is used, and shown nowhere.

mod archive;
mod contradictions;
mod field;
mod fields;
mod kafka;
mod options;
mod problem;
mod read;
mod reader;
mod reference;
mod secret;
mod servers;
#[cfg(test)]
mod tests;

pub use field::{Field, Kind, Value};
pub use fields::{TABLES, fields};
pub use problem::{Problem, Refused};
pub use read::{CONFIG_VARIABLE, Config};
pub use reference::{example, markdown};
pub use servers::Stores;
