//! The port for throttling policies, which decide whether updates are evaluated now or later.

use super::error::Error;
use crate::state::ThrottleBytes;
use crate::{Currency, Evaluated, Pending, Price, ProductId, WallTime};

/// One product as a throttling policy sees it.
#[derive(Debug, Clone)]
pub struct Subject<'a> {
    /// The product.
    pub product: &'a ProductId,
    /// The currency of its prices.
    pub currency: Currency,
    /// Its last evaluated price, and when it was evaluated.
    pub evaluated: Option<Evaluated>,
    /// Its held updates.
    pub pending: Option<&'a Pending>,
    /// The bytes that a throttling policy stored for it.
    pub saved: Option<&'a ThrottleBytes>,
}

/// A price that arrived for a product.
#[derive(Debug, Clone)]
pub struct Arrival<'a> {
    /// The product and its state.
    pub subject: Subject<'a>,
    /// Its new price.
    pub price: Price,
    /// The current time.
    pub now: WallTime,
}

/// The answer for a new update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Evaluate it now, and discard the held updates.
    Pass,
    /// Hold it, and ask again at this time.
    Hold(WallTime),
    /// Discard it.
    Skip,
}

/// The answer for held updates that are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// Evaluate the latest.
    Last,
    /// Evaluate the lowest, then the latest.
    Lowest,
    /// Keep holding, and ask again at this time.
    Hold(WallTime),
    /// Discard them.
    Discard,
}

/// An answer, with the bytes that the policy wants to store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    /// What the policy decided: a [`Decision`] or a [`Release`].
    pub decision: T,
    /// None: unchanged; `Some(None)`: cleared.
    pub saved: Option<Option<ThrottleBytes>>,
}

/// A throttling policy. A call contains a product at most once.
pub trait Throttling: Send + Sync {
    /// Returns one answer per arrival, in order.
    fn decide(&self, arrivals: &[Arrival<'_>]) -> Vec<Result<Answer<Decision>, Error>>;

    /// Returns one answer per subject, in order. All of them are due.
    fn due(&self, subjects: &[Subject<'_>], now: WallTime) -> Vec<Result<Answer<Release>, Error>>;
}
