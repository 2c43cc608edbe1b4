//! The retry queue of a dispatcher. The compacted topic is the source of truth; an index finds the
//! retries that are due.

use std::sync::Arc;

use async_trait::async_trait;
use pricedrop_model::WallTime;
use pricedrop_model::dispatch::{Retry, RetryQueue};
use pricedrop_model::ports::Error;

use crate::dispatcher::handle::Handle;
use crate::dispatcher::ledger::Writes;

/// The retries of the partitions that this dispatcher serves. Retries of other partitions are left
/// out, because their owners read them from the log or from the topic of retries.
#[derive(Clone)]
pub struct KafkaRetries(Arc<Handle>);

impl KafkaRetries {
    pub(crate) fn new(handle: Arc<Handle>) -> KafkaRetries {
        KafkaRetries(handle)
    }
}

#[async_trait]
impl RetryQueue for KafkaRetries {
    async fn put(&self, retries: Vec<Retry>) -> Result<(), Error> {
        self.0.write(Writes { put: retries, ..Writes::default() }).await
    }

    /// Changes due times in the index only. If a worker dies after it took a retry, the retry is
    /// due at once after the next acquisition, and its lease delays it.
    async fn take(
        &self,
        channel: &str,
        now: WallTime,
        until: WallTime,
        most: usize,
    ) -> Result<Vec<Retry>, Error> {
        let taken = self.0.index.take(&self.0.view.indexed(), channel, now, until, most).await?;
        if !taken.lost.is_empty() {
            self.0.lost(taken.lost);
        }
        Ok(taken.retries)
    }

    async fn remove(&self, retries: &[Retry]) -> Result<(), Error> {
        self.0.write(Writes { done: retries.to_vec(), ..Writes::default() }).await
    }

    async fn waiting(&self) -> Result<Vec<(String, u64)>, Error> {
        let waiting = self.0.index.waiting(&self.0.view.indexed()).await?;
        if !waiting.lost.is_empty() {
            self.0.lost(waiting.lost);
        }
        Ok(waiting.by_channel)
    }
}
