//! Reads topics for the archive, and publishes archived records again.

pub(crate) mod republish;
pub(crate) mod source;
