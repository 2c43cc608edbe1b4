//! Topics for the archive, and records from it.

pub(crate) mod republish;
pub(crate) mod source;
