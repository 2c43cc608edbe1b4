//! How a dispatcher works with Kafka.

use std::sync::Arc;

use pricedrop_model::retry_index::RetryIndex;

use crate::settings::{Settings, Start};

/// How a dispatcher works with Kafka.
#[derive(Clone)]
pub struct DispatchOptions {
    /// Where the cluster is.
    pub settings: Settings,
    /// Of this instance's dispatcher alone, and the same after a restart.
    pub transactional_id: String,
    /// Where a group begins that never read the notifications.
    pub start: Option<Start>,
    /// Which retries are due.
    pub index: Arc<dyn RetryIndex>,
}

impl DispatchOptions {
    /// The group of all dispatchers.
    pub fn group(&self) -> String {
        format!("{}.dispatcher", self.settings.group)
    }
}
