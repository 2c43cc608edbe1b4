//! Random tokens that identify the records of one owner of a partition.

/// Returns a random number that no other owner has.
pub(crate) fn fresh_token() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.finish()
}
