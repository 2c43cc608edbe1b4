//! The failure that a notifier is recovering from, for `/readyz`.

use std::sync::{Arc, Mutex};

use pricedrop_model::sync::lock;

/// The failure that one notifier is recovering from, if any. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Trouble(Arc<Mutex<Option<String>>>);

impl Trouble {
    /// Returns the failure; `None` if the notifier works.
    pub fn get(&self) -> Option<String> {
        lock(&self.0).clone()
    }

    pub(super) fn set(&self, trouble: Option<String>) {
        *lock(&self.0) = trouble;
    }
}
