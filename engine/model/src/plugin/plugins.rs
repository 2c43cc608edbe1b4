//! The port through which the core gets the active plugins.

use std::sync::Arc;

use super::bucketing::Bucketing;
use super::throttling::Throttling;
use crate::channel::Channel;

/// The active plugins. A reload does not change a plugin that a caller already took.
pub trait Plugins: Send + Sync {
    /// Returns the active bucketing policy. `None` means read plain ranges.
    fn bucketing(&self) -> Option<Arc<dyn Bucketing>>;
    /// Returns the active throttling policy. `None` means all updates pass.
    fn throttling(&self) -> Option<Arc<dyn Throttling>>;
    /// Returns the channel of this name, which is the stem of its plugin's file name.
    fn channel(&self, name: &str) -> Option<Arc<dyn Channel>>;
}

/// No plugins.
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
