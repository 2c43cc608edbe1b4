//! What the log and the retry queue of a dispatcher share: how they reach its worker,
//! and what it lets them see.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use pricedrop_model::Partition;
use pricedrop_model::ports::Error;
use pricedrop_model::retry_index::{Owned, RetryIndex};
use pricedrop_model::sync::lock;
use tokio::sync::{mpsc, oneshot};

use crate::dispatcher::ledger::Writes;
use crate::group::group_consumer::GroupConsumer;

/// What log and queue share.
pub(crate) struct Handle {
    pub(crate) member: Arc<GroupConsumer>,
    pub(crate) view: Arc<View>,
    pub(crate) index: Arc<dyn RetryIndex>,
    pub(crate) requests: mpsc::UnboundedSender<Request>,
}

/// What the worker lets others see.
#[derive(Default)]
pub(crate) struct View {
    pub(crate) moved: AtomicBool,
    pub(crate) level: AtomicBool,
    pub(crate) broken: Mutex<Option<String>>,
    pub(crate) indexed: Mutex<Vec<Owned>>,
}

impl View {
    /// Whether the dispatcher must forget what it read.
    pub(crate) fn moved(&self) -> bool {
        self.moved.load(Ordering::SeqCst)
    }

    /// Why a person has to look.
    pub(crate) fn broken(&self) -> Option<String> {
        lock(&self.broken).clone()
    }

    /// The partitions whose index is complete.
    pub(crate) fn indexed(&self) -> Vec<Owned> {
        lock(&self.indexed).clone()
    }

    pub(crate) fn forget(&self, gone: impl Fn(Partition) -> bool) {
        lock(&self.indexed).retain(|owned| !gone(owned.partition));
    }
}

/// What the worker is asked for.
pub(crate) enum Request {
    Write(Writes, Answer),
    GoBack(Answer),
    Lost(Vec<Partition>),
}

pub(crate) type Answer = oneshot::Sender<Result<(), Error>>;

impl Handle {
    /// Writes in the next transaction.
    pub(crate) async fn write(&self, writes: Writes) -> Result<(), Error> {
        self.ask(|answer| Request::Write(writes, answer)).await
    }

    /// Goes back to what is settled, everywhere.
    pub(crate) async fn go_back(&self) -> Result<(), Error> {
        self.ask(Request::GoBack).await
    }

    /// The index of these partitions was lost.
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
