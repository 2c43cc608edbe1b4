//! Watches and commits in memory, for `simulate` and tests.

mod commits;
mod watches;
mod writer;

pub use commits::{Committed, MemoryCommitter};
pub use watches::MemoryWatches;
