//! From an update to its fan-out.
