//! The handle through which the log and the retry queue of a dispatcher reach its worker.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use pricedrop_model::Partition;
use pricedrop_model::ports::Error;
use pricedrop_model::retry_index::{Owned, RetryIndex};
use pricedrop_model::sync::lock;
use tokio::sync::{mpsc, oneshot};

use crate::dispatcher::ledger::Writes;
use crate::group::group_consumer::GroupConsumer;

/// What the log and the retry queue share.
pub(crate) struct Handle {
    pub(crate) member: Arc<GroupConsumer>,
    pub(crate) view: Arc<View>,
    pub(crate) index: Arc<dyn RetryIndex>,
    pub(crate) requests: mpsc::UnboundedSender<Request>,
}

/// The state that the worker publishes. `moved`: partitions were lost since the last `rewind`.
/// `level`: all assigned partitions are acquired.
#[derive(Default)]
pub(crate) struct View {
    pub(crate) moved: AtomicBool,
    pub(crate) level: AtomicBool,
    pub(crate) broken: Mutex<Option<String>>,
    pub(crate) indexed: Mutex<Vec<Owned>>,
}

impl View {
    /// Returns whether partitions were lost, so that the dispatcher must discard what it has read.
    pub(crate) fn moved(&self) -> bool {
        self.moved.load(Ordering::SeqCst)
    }

    /// Returns why an operator has to act.
    pub(crate) fn broken(&self) -> Option<String> {
        lock(&self.broken).clone()
    }

    /// Returns the partitions whose index is complete.
    pub(crate) fn indexed(&self) -> Vec<Owned> {
        lock(&self.indexed).clone()
    }

    pub(crate) fn forget(&self, gone: impl Fn(Partition) -> bool) {
        lock(&self.indexed).retain(|owned| !gone(owned.partition));
    }
}

/// A request to the worker.
pub(crate) enum Request {
    Write(Writes, Answer),
    GoBack(Answer),
    Lost(Vec<Partition>),
}

pub(crate) type Answer = oneshot::Sender<Result<(), Error>>;

impl Handle {
    /// Writes with the next transaction.
    pub(crate) async fn write(&self, writes: Writes) -> Result<(), Error> {
        self.ask(|answer| Request::Write(writes, answer)).await
    }

    /// Continues reading every partition at its next offset.
    pub(crate) async fn rewind(&self) -> Result<(), Error> {
        self.ask(Request::GoBack).await
    }

    /// Reports that the index of these partitions was lost.
    pub(crate) fn lost(&self, partitions: Vec<Partition>) {
        let _ = self.requests.send(Request::Lost(partitions));
    }

    async fn ask(&self, request: impl FnOnce(Answer) -> Request) -> Result<(), Error> {
        let ended = || Error::Fatal("the dispatcher's worker ended".into());
        let (answer, answered) = oneshot::channel();
        self.requests.send(request(answer)).map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }
}
