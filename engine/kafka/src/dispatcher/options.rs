//! Options of a dispatcher on Kafka.

use std::sync::Arc;

use pricedrop_model::retry_index::RetryIndex;

use crate::settings::{Settings, Start};

/// Options of a dispatcher on Kafka.
#[derive(Clone)]
pub struct DispatchOptions {
    /// The cluster and the topics.
    pub settings: Settings,
    /// The transactional id of this instance's dispatcher, which stays the same after a restart.
    pub transactional_id: String,
    /// Where a group begins that never read the notifications.
    pub start: Option<Start>,
    /// The index of retries that are due.
    pub index: Arc<dyn RetryIndex>,
}

impl DispatchOptions {
    /// Returns the group of all dispatchers.
    pub fn group(&self) -> String {
        format!("{}.dispatcher", self.settings.group)
    }
}
