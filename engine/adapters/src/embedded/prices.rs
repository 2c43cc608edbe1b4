//! Current prices: read off the states of the one input partition.

use std::sync::Arc;

use async_trait::async_trait;
use pricedrop_model::dispatch::CurrentPrices;
use pricedrop_model::seams::Error;
use pricedrop_model::{Currency, Evaluated, Floor, ProductId, ProductState, StateKey};

use super::intake::PARTITION;
use super::store::Table;
use super::{Inner, keys};

/// The current prices of products.
#[derive(Clone)]
pub struct EmbeddedPrices(Arc<Inner>);

impl EmbeddedPrices {
    pub(super) fn new(inner: Arc<Inner>) -> EmbeddedPrices {
        EmbeddedPrices(inner)
    }
}

#[async_trait]
impl CurrentPrices for EmbeddedPrices {
    async fn of(&self, product: &ProductId, currency: Currency) -> Result<Option<(Evaluated, Floor)>, Error> {
        let key = StateKey { partition: PARTITION, product: product.clone(), currency };
        let stored = self.0.shared.slot.read(|store| Ok(store.get(Table::States, &keys::state(&key))?))?;
        let state = stored.map(|bytes| ProductState::decode(&bytes)).transpose()?;
        Ok(state.and_then(|state| Some((state.last?, state.floor))))
    }
}
