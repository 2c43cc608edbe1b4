//! Clients of the cluster, and the reading, writing and queries that all parts of the crate share.

pub(crate) mod ack_producer;
pub(crate) mod assign;
pub(crate) mod log;
pub(crate) mod log_reader;
pub(crate) mod marker_reader;
pub(crate) mod original_position;
pub(crate) mod queries;
pub(crate) mod raw;
pub(crate) mod reserved_keys;
pub(crate) mod token;
