//! Reads current prices from the states of the only input partition. If updates come from another
//! log, such as Kafka, the states are not in this store. Then the notifier's prices are stored
//! here, each as a state with only a price and a floor.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use pricedrop_model::dispatch::CurrentPrices;
use pricedrop_model::ports::{Error, PriceRow, PriceSink};
use pricedrop_model::sync::lock;
use pricedrop_model::{Currency, Evaluated, Floor, ProductId, ProductState, StateKey};

use super::keys;
use super::shared::Inner;
use super::tables::Table;
use super::topics::PARTITION;

/// Encoded states by key. `None` deletes the row.
type Rows = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// The current prices of products.
#[derive(Clone)]
pub struct EmbeddedPrices {
    inner: Arc<Inner>,
    /// Prices that are not written yet, the latest of each key.
    waiting: Arc<Mutex<Rows>>,
    /// Whether a write of them is queued.
    asked: Arc<AtomicBool>,
}

/// A queued write. When it is dropped, run or not, the next one may be queued.
struct Asked(Arc<AtomicBool>);

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.store(false, SeqCst);
    }
}

impl EmbeddedPrices {
    pub(super) fn new(inner: Arc<Inner>) -> EmbeddedPrices {
        EmbeddedPrices { inner, waiting: Arc::default(), asked: Arc::default() }
    }
}

fn key(product: &ProductId, currency: Currency) -> Vec<u8> {
    keys::state(&StateKey { partition: PARTITION, product: product.clone(), currency })
}

#[async_trait]
impl CurrentPrices for EmbeddedPrices {
    async fn of(&self, product: &ProductId, currency: Currency) -> Result<Option<(Evaluated, Floor)>, Error> {
        let key = key(product, currency);
        let stored = self.inner.shared.store.read(|store| Ok(store.get(Table::States, &key)?))?;
        let state = stored.map(|bytes| ProductState::decode(&bytes)).transpose()?;
        Ok(state.and_then(|state| Some((state.last?, state.floor))))
    }
}

/// At most one write is queued. It writes all prices that were passed to `show` before it runs.
impl PriceSink for EmbeddedPrices {
    fn show(&self, rows: Vec<PriceRow>) {
        let mut waiting = lock(&self.waiting);
        for PriceRow { key: row, last, floor, .. } in rows {
            let shown = last.map(|last| ProductState { last: Some(last), floor, ..ProductState::default() });
            waiting.insert(key(&row.product, row.currency), shown.map(|state| state.encode()));
        }
        if waiting.is_empty() || self.asked.swap(true, SeqCst) {
            return;
        }
        let asked = Asked(self.asked.clone());
        drop(waiting);
        let waiting = self.waiting.clone();
        let sent = self.inner.writer().send_only(move |txn| {
            drop(asked);
            let rows = std::mem::take(&mut *lock(&waiting));
            for (key, shown) in rows {
                match shown {
                    Some(state) => txn.put(Table::States, key, state),
                    None => txn.remove(Table::States, key),
                }
            }
            Ok(())
        });
        if let Err(error) = sent.map_err(Error::from) {
            tracing::warn!(%error, "current prices were not written; each is written when it changes again");
        }
    }
}
