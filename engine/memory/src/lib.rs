//! The store in memory: watches and commits that last as long as the process, for `pricedrop
//! simulate` and tests.

mod commits;
mod watches;
mod writer;

pub use commits::{Committed, MemoryCommitter};
pub use watches::MemoryWatches;
