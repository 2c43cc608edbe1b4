//! One folder per outside system. Each implements seams of the model and knows
//! nothing of the others.

pub mod cassandra;
pub mod embedded;
pub mod kafka;
pub mod memory;
pub mod moving;
pub mod outbound;
pub mod redis;
