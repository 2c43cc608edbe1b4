//! Implements [`WatchWriter`] for the in-memory store: writes, lists and deletes watches. The store
//! sets `updated_at`.

use std::ops::Bound::{Included, Unbounded};

use async_trait::async_trait;
use pricedrop_model::ports::{Deleted, Error, WatchWriter, Written};
use pricedrop_model::{Price, ProductId, Removal, UserId, Watch};

use crate::watches::MemoryWatches;

#[async_trait]
impl WatchWriter for MemoryWatches {
    async fn put(&self, watches: Vec<Watch>) -> Result<Written, Error> {
        // One lock for time and rows. Otherwise a view opened in between could have the same wall time
        // and not show these rows.
        let mut inner = self.lock();
        let updated_at = inner.write_time(self.clock.now());
        for watch in watches {
            inner.insert(Watch { updated_at: Some(updated_at), ..watch });
        }
        Ok(Written { updated_at, effective_by: None })
    }

    async fn delete(&self, product: &ProductId, threshold: Price, user: &UserId) -> Result<Deleted, Error> {
        Ok(Deleted { existed: self.remove(product, threshold, user), effective_by: None })
    }

    async fn list(
        &self,
        product: Option<&ProductId>,
        after: Option<&Watch>,
        most: usize,
    ) -> Result<Vec<Watch>, Error> {
        let inner = self.lock();
        let first = product.max(after.map(|after| &after.product_id));
        let products = inner.products.range::<ProductId, _>((first.map_or(Unbounded, Included), Unbounded));
        let asked_for = products.take_while(|(id, _)| product.is_none_or(|only| only == *id));
        Ok(asked_for.flat_map(|(id, product)| product.past(id, after)).take(most).cloned().collect())
    }

    async fn remove_told(&self, removals: &[Removal]) -> Result<(), Error> {
        self.remove_versions(removals);
        Ok(())
    }
}
