//! The plugins that are active.

use std::sync::Arc;

use super::bucketing::Bucketing;
use super::throttling::Throttling;
use crate::channel::Channel;

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
