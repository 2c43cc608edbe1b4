//! What keeps a notifier from working, for `/readyz`.

use std::sync::{Arc, Mutex};

use pricedrop_model::sync::lock;

/// What keeps one notifier from working, if anything. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Trouble(Arc<Mutex<Option<String>>>);

impl Trouble {
    /// What it is now; none: it works.
    pub fn get(&self) -> Option<String> {
        lock(&self.0).clone()
    }

    pub(super) fn set(&self, trouble: Option<String>) {
        *lock(&self.0) = trouble;
    }
}
