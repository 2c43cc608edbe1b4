//! Which updates are evaluated now, and which later.

use super::error::Error;
use crate::state::ThrottleBytes;
use crate::{Currency, Evaluated, Pending, Price, ProductId, WallTime};

/// One product as a throttling policy sees it.
#[derive(Debug, Clone)]
pub struct Subject<'a> {
    /// The product.
    pub product: &'a ProductId,
    /// Of its prices.
    pub currency: Currency,
    /// Its last evaluation.
    pub evaluated: Option<Evaluated>,
    /// What is held.
    pub pending: Option<&'a Pending>,
    /// What a throttling policy remembered.
    pub saved: Option<&'a ThrottleBytes>,
}

/// A price that arrived for a product.
#[derive(Debug, Clone)]
pub struct Arrival<'a> {
    /// The product.
    pub subject: Subject<'a>,
    /// Its new price.
    pub price: Price,
    /// Now.
    pub now: WallTime,
}

/// What becomes of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Evaluate now; whatever was held is dropped.
    Pass,
    /// Join the held ones; ask again then.
    Hold(WallTime),
    /// Forget it.
    Skip,
}

/// What becomes of held updates that are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// Evaluate the latest price.
    Last,
    /// Evaluate the lowest, then the latest.
    Lowest,
    /// Ask again then.
    Hold(WallTime),
    /// Forget them.
    Discard,
}

/// An answer, with what the policy now remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    /// What becomes of it.
    pub decision: T,
    /// None: as it was; `Some(None)`: cleared.
    pub saved: Option<Option<ThrottleBytes>>,
}

/// A throttling policy. A batch holds a product at most once per call.
pub trait Throttling: Send + Sync {
    /// One answer per arrival, in order.
    fn decide(&self, arrivals: &[Arrival<'_>]) -> Vec<Result<Answer<Decision>, Error>>;

    /// One answer per subject, in order; all are due.
    fn due(&self, subjects: &[Subject<'_>], now: WallTime) -> Vec<Result<Answer<Release>, Error>>;
}
