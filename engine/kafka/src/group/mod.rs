//! Membership of a consumer group: partitions and their epochs, the next offset of each, and
//! transactions that only the current owner commits.

pub(crate) mod acquisition;
pub(crate) mod group_consumer;
pub(crate) mod hanging;
pub(crate) mod positions;
pub(crate) mod rebalance;
pub(crate) mod session;
pub(crate) mod transactions;
