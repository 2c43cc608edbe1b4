//! A sandboxed, deterministic WASI, for plugins whose language runtime imports WASI.
//!
//! Invariant: it gives access to no file, no network and no environment variable. Clocks are fixed,
//! waits end immediately, random numbers are seeded, and standard output and error go to the log.

mod closed;
mod imports;

pub(crate) use closed::Closed;
pub(crate) use imports::link;
