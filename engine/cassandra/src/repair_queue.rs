//! The queue of products whose index has to be repaired.

use std::collections::HashSet;
use std::sync::Mutex;

use pricedrop_model::ProductId;
use pricedrop_model::sync::lock;
use tokio::sync::mpsc;

use super::limits::REPAIRS_WAITING;

/// Products that wait for a repair, each at most once.
pub(super) struct Repairs {
    queue: mpsc::Sender<ProductId>,
    waiting: Mutex<HashSet<ProductId>>,
}

impl Repairs {
    /// Returns a queue and its receiver.
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
