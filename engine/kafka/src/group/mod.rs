//! Membership of a consumer group: which partitions are ours and since when, where each
//! is read on, and transactions that only a current owner commits.

pub(crate) mod acquisition;
pub(crate) mod group_consumer;
pub(crate) mod hanging;
pub(crate) mod positions;
pub(crate) mod rebalance;
pub(crate) mod session;
pub(crate) mod transactions;
