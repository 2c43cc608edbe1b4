//! A closed, deterministic WASI for plugins whose runtime insists on one:
//! time stands still, random numbers are seeded, standard output goes to the
//! log. There are no files, no network, no environment, and nothing to wait for.

mod closed;
mod imports;

pub(crate) use closed::Closed;
pub(crate) use imports::link;
