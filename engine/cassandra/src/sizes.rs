//! Which products are too large to be read by plain range, as far as reads have
//! shown.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard};

use pricedrop_model::ProductId;
use pricedrop_model::sync::lock;

use super::limits::LARGE_PRODUCTS;

#[derive(Default)]
pub(super) struct Sizes(Mutex<HashSet<ProductId>>);

impl Sizes {
    fn lock(&self) -> MutexGuard<'_, HashSet<ProductId>> {
        lock(&self.0)
    }

    pub(super) fn is_large(&self, product: &ProductId) -> bool {
        self.lock().contains(product)
    }

    /// Remembers a large product; whether that is news.
    pub(super) fn add(&self, product: &ProductId) -> bool {
        let mut large = self.lock();
        if large.len() >= LARGE_PRODUCTS && !large.contains(product) {
            // Forgetting costs a plain read each, no more.
            large.clear();
        }
        large.insert(product.clone())
    }

    pub(super) fn all(&self) -> Vec<ProductId> {
        self.lock().iter().cloned().collect()
    }
}
