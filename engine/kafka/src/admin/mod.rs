//! Operator tasks: topics, rights, samples of the input, and offsets that are set by hand.

pub mod rights;
pub(crate) mod sample;
pub(crate) mod set_offsets;
pub mod topics;
