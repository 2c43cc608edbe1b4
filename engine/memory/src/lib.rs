//! Every port of the notifier in memory, for `simulate` and tests.

mod commits;
mod watches;

pub use commits::{Committed, MemoryCommitter};
pub use watches::MemoryWatches;
