//! The `pricedrop` binary: command line, configuration, wiring. The only place
//! that names an adapter.
//!
//! ```text
//! cli.rs (what can be asked) ──▶ commands/ ──▶ client.rs ──HTTP──▶ the running engine
//!    │                      ├──▶ simulate/    files in, notifications out
//!    ▼                      └──▶ run/         the engine itself: adapters behind ports
//! config/ (one table of fields)
//! ```

pub mod cli;
pub mod cli_reference;
pub mod client;
pub mod commands;
pub mod config;
pub mod report;
pub mod run;
pub mod simulate;
