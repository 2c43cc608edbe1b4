//! What the core asks of plugins, in plain types. The host implements these
//! traits over WASM; tests and benchmarks also implement them natively.
//!
//! A caller takes the plugins it needs once per batch and keeps them from
//! decision to commit, so that a batch sees one generation.

use std::sync::Arc;

use crate::state::ThrottleBytes;
use crate::{BucketId, Currency, Evaluated, Pending, Price, ProductId, WallTime};

pub use crate::dispatch::Channel;

/// Which policy cut the buckets: `id@version+digest of its settings`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PolicyIdentity {
    /// `id@version+digest`.
    pub name: String,
    /// Of its mapping on the fixed sample: equal fingerprints cut alike.
    pub fingerprint: String,
}

/// A plugin did not answer, or not by its contract. The caller falls back:
/// bucketing to the plain scan, throttling to passing, a channel to the plain
/// template.
#[derive(Debug, Clone, thiserror::Error)]
#[error("plugin {plugin}: {function}: {reason}")]
pub struct Error {
    /// `id@version`.
    pub plugin: String,
    /// The function that was called.
    pub function: &'static str,
    /// What happened.
    pub reason: String,
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

/// Where the core takes plugins from. Whatever is reloaded meanwhile, what was
/// taken stays as it was.
pub trait Plugins: Send + Sync {
    /// The active bucketing policy; none: plain scans.
    fn bucketing(&self) -> Option<Arc<dyn Bucketing>>;
    /// The active throttling policy; none: everything passes.
    fn throttling(&self) -> Option<Arc<dyn Throttling>>;
    /// The channel of this name (its file's stem).
    fn channel(&self, name: &str) -> Option<Arc<dyn Channel>>;
}

/// No plugins at all.
pub struct NoPlugins;

impl Plugins for NoPlugins {
    fn bucketing(&self) -> Option<Arc<dyn Bucketing>> {
        None
    }
    fn throttling(&self) -> Option<Arc<dyn Throttling>> {
        None
    }
    fn channel(&self, _name: &str) -> Option<Arc<dyn Channel>> {
        None
    }
}
