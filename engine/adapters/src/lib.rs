//! One folder per outside system. Each implements seams of the model and knows
//! nothing of the others; what two of them share stands beside them.

pub mod cassandra;
pub mod embedded;
pub mod kafka;
pub mod memory;
pub mod moving;
pub mod redis;
pub mod retry_index;
