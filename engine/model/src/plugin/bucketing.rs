//! Which bucket a price lies in.

use super::error::Error;
use crate::{BucketId, Price, ProductId};

/// Which policy cut the buckets: `id@version+digest of its settings`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PolicyIdentity {
    /// `id@version+digest`.
    pub name: String,
    /// Of its mapping on the fixed sample: equal fingerprints cut alike.
    pub fingerprint: String,
}

/// A bucketing policy: a pure, non-decreasing function of the price.
pub trait Bucketing: Send + Sync {
    /// Which policy this is.
    fn identity(&self) -> &PolicyIdentity;

    /// One bucket per price, in order.
    ///
    /// # Errors
    /// No answer: read the plain path.
    fn buckets_of(&self, product: &ProductId, prices: &[Price]) -> Result<Vec<BucketId>, Error>;

    /// Reports a bucketed read that differed from the plain one: a breach of
    /// contract that only a live audit sees.
    fn report_breach(&self, product: &ProductId, what: &str);
}
