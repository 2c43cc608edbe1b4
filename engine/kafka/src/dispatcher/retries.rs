//! The retry queue of a dispatcher: the compacted topic is the truth, an index
//! says what is due.

use std::sync::Arc;

use async_trait::async_trait;
use pricedrop_model::WallTime;
use pricedrop_model::dispatch::{Retry, RetryQueue};
use pricedrop_model::ports::Error;

use crate::dispatcher::handle::Handle;
use crate::dispatcher::ledger::Writes;

/// The retries of the partitions that are this dispatcher's. What belongs to
/// others is passed over: their owners have it in the log or in the topic.
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

    /// Due times move in the index alone: an entry taken by a worker that dies
    /// is due at once after the next take-over, and its lease holds it.
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
