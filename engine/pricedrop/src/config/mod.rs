//! The configuration: one TOML file, environment overrides, defaults.
//!
//! ```text
//! fields.rs ──▶ read.rs ──▶ Config ──▶ options.rs ──▶ each crate's Options
//! (the table)     │    └──▶ problem.rs (a report with the place in the file)
//!      └──────────┴───────▶ reference.rs (the example, docs/config.md)
//! ```
//!
//! One table of fields drives everything: what is read and refused, the names
//! of environment variables, the example and the reference. Nothing here opens
//! a store or a plugin.

mod field;
mod fields;
mod options;
mod problem;
mod read;
mod reference;
#[cfg(test)]
mod tests;

pub use field::{Field, Kind, Value};
pub use fields::{FIELDS, TABLES};
pub use problem::{Problem, Refused};
pub use read::{CONFIG_VARIABLE, Config};
pub use reference::{example, markdown};
