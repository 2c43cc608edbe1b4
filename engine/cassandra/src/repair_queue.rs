//! Products that wait for their index to be repaired.

use std::collections::HashSet;
use std::sync::Mutex;

use pricedrop_model::ProductId;
use pricedrop_model::sync::lock;
use tokio::sync::mpsc;

use super::limits::REPAIRS_WAITING;

/// Products whose index is wanted.
pub(super) struct Repairs {
    queue: mpsc::Sender<ProductId>,
    waiting: Mutex<HashSet<ProductId>>,
}

impl Repairs {
    /// A queue, and what takes from it.
    pub(super) fn new() -> (Repairs, mpsc::Receiver<ProductId>) {
        let (queue, products) = mpsc::channel(REPAIRS_WAITING);
        (Repairs { queue, waiting: Mutex::default() }, products)
    }

    pub(super) fn waiting(&self) -> std::sync::MutexGuard<'_, HashSet<ProductId>> {
        lock(&self.waiting)
    }

    pub(super) fn want(&self, product: &ProductId) {
        let mut waiting = self.waiting();
        if !waiting.contains(product) && self.queue.try_send(product.clone()).is_ok() {
            waiting.insert(product.clone());
        }
    }
}
