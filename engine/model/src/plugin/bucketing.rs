//! The port for bucketing policies, which assign prices to buckets.

use super::error::Error;
use crate::{BucketId, Price, ProductId};

/// The identity of a bucketing policy.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PolicyIdentity {
    /// `id@version+digest`, with the digest of its settings.
    pub name: String,
    /// A hash of the buckets of a fixed sample of prices. Policies with equal fingerprints assign
    /// equal buckets.
    pub fingerprint: String,
}

/// A bucketing policy: a pure, non-decreasing function of the price.
pub trait Bucketing: Send + Sync {
    /// Returns the identity of the policy.
    fn identity(&self) -> &PolicyIdentity;

    /// Returns one bucket per price, in order.
    ///
    /// # Errors
    /// The policy gave no valid answer: read the plain range.
    fn buckets_of(&self, product: &ProductId, prices: &[Price]) -> Result<Vec<BucketId>, Error>;

    /// Reports a breach of contract that the caller detects: an answer without one bucket per
    /// price, or a read by bucket that found fewer rows than the plain range (see the audit).
    fn report_breach(&self, product: &ProductId, what: &str);
}
