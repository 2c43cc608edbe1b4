//! The `pricedrop` binary: command line, configuration and wiring. Only this crate names adapters.
//!
//! ```text
//! execute.rs ──▶ commands/ ──▶ client.rs ──HTTP──▶ the running engine
//!    │  │           └──▶ simulate/    files in, notifications out
//!    │  └──▶ run/         the engine itself: adapters behind ports
//!    ▼
//! cli.rs (the arguments) · config/ (one table of fields)
//! ```

pub mod cli;
pub mod cli_reference;
pub mod client;
pub mod commands;
pub mod config;
pub mod execute;
pub mod input;
mod printable;
mod remedies;
pub mod report;
pub mod run;
pub mod simulate;
