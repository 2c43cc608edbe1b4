//! Remembers which products are too large to be read by the plain range, as learned from reads.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard};

use pricedrop_model::ProductId;
use pricedrop_model::sync::lock;

use super::limits::LARGE_PRODUCTS;

#[derive(Default)]
pub(super) struct LargeProducts(Mutex<HashSet<ProductId>>);

impl LargeProducts {
    fn lock(&self) -> MutexGuard<'_, HashSet<ProductId>> {
        lock(&self.0)
    }

    pub(super) fn is_large(&self, product: &ProductId) -> bool {
        self.lock().contains(product)
    }

    /// Remembers a large product. Returns whether it was unknown before.
    pub(super) fn add(&self, product: &ProductId) -> bool {
        let mut large = self.lock();
        if large.len() >= LARGE_PRODUCTS && !large.contains(product) {
            // A forgotten product costs one plain read, no more.
            large.clear();
        }
        large.insert(product.clone())
    }

    pub(super) fn all(&self) -> Vec<ProductId> {
        self.lock().iter().cloned().collect()
    }
}
