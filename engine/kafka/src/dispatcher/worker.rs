//! The task of a dispatcher that writes its ledger, follows rebalances, and maintains the index of
//! retries.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pricedrop_model::dispatch::Retry;
use pricedrop_model::ports::Error;
use pricedrop_model::retry_index::{Kept, Owned, RetryIndex};
use pricedrop_model::sync::lock;
use pricedrop_model::{Cause, Partition};
use tokio::sync::mpsc;

use crate::client::token::fresh_token;
use crate::dispatcher::acquire::Restored;
use crate::dispatcher::handle::{Answer, Request, View};
use crate::dispatcher::ledger::{Ledger, Writes};
use crate::dispatcher::options::DispatchOptions;
use crate::dispatcher::replays::Follower;
use crate::group::group_consumer::GroupConsumer;
use crate::limits::{DISPATCH_TICK_MS, INDEX_PAGE, INDEX_PAUSE_MS, WRITES};

/// The worker of a dispatcher.
pub(crate) struct Worker {
    ledger: Arc<Mutex<Ledger>>,
    view: Arc<View>,
    index: Arc<dyn RetryIndex>,
    follower: Follower,
    /// Partitions whose index has to be rebuilt.
    lost: BTreeSet<Partition>,
    next_rebuild: Instant,
    next_follow: Instant,
}

impl Worker {
    pub(crate) fn new(
        options: DispatchOptions,
        member: Arc<GroupConsumer>,
        view: Arc<View>,
    ) -> Result<Worker, Error> {
        Ok(Worker {
            follower: Follower::new(&options.settings)?,
            index: options.index.clone(),
            ledger: Arc::new(Mutex::new(Ledger::new(options, member))),
            view,
            lost: BTreeSet::new(),
            next_rebuild: Instant::now(),
            next_follow: Instant::now(),
        })
    }

    pub(crate) async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Request>) {
        let tick = Duration::from_millis(DISPATCH_TICK_MS);
        let mut waiting = Vec::new();
        loop {
            if let Ok(0) = tokio::time::timeout(tick, inbox.recv_many(&mut waiting, WRITES)).await {
                break;
            }
            self.follow_assignment().await;
            self.serve(std::mem::take(&mut waiting)).await;
            self.rebuild().await;
            self.replay().await;
        }
        // Leaving the group blocks for a moment.
        let Worker { ledger, follower, .. } = self;
        tokio::task::spawn_blocking(move || drop((ledger, follower)));
    }

    /// Runs a call that blocks. Fails if the runtime is shutting down.
    async fn blocking<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut Ledger) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let ledger = self.ledger.clone();
        let done = tokio::task::spawn_blocking(move || call(&mut lock(&ledger))).await;
        done.map_err(|error| Error::Fatal(Cause::new("the dispatcher's worker", error)))?
    }

    /// Drops lost partitions and acquires new ones. The new ones are read only after the dispatcher
    /// can see that partitions were lost.
    async fn follow_assignment(&mut self) {
        if Instant::now() < self.next_follow {
            return;
        }
        let token = fresh_token();
        let taken = self.blocking(move |ledger| ledger.follow(token)).await;
        self.publish_status();
        match taken {
            Ok(taken) if taken.is_empty() => {}
            Ok(taken) => {
                *lock(&self.view.broken) = None;
                let partitions: Vec<Partition> = taken.iter().map(|one| one.partition).collect();
                self.fill(taken, token).await;
                let resume = self.blocking(move |ledger| {
                    ledger.resume(&partitions);
                    Ok(())
                });
                self.report(resume.await.err());
            }
            Err(error) => {
                self.next_follow = Instant::now() + Duration::from_millis(INDEX_PAUSE_MS);
                self.report(Some(error));
            }
        }
    }

    /// Publishes which partitions the ledger serves or lost.
    fn publish_status(&mut self) {
        let (moving, level, owned) = {
            let ledger = lock(&self.ledger);
            (ledger.is_moving(), ledger.assignment_is_ready(), ledger.owned())
        };
        self.view.moved.store(moving, Ordering::SeqCst);
        self.view.level.store(level, Ordering::SeqCst);
        self.view.forget(|partition| !owned.contains(&partition));
        self.lost.retain(|partition| owned.contains(partition));
        self.follower.keep(&owned);
    }

    fn report(&self, error: Option<Error>) {
        match error {
            None => {}
            Some(Error::Fatal(reason)) => {
                tracing::error!(%reason, "the dispatcher does not serve its partitions");
                *lock(&self.view.broken) = Some(reason.to_string());
            }
            Some(Error::Rebalanced(reason)) => {
                tracing::info!(%reason, "partitions were reassigned during their acquisition")
            }
            Some(Error::Unavailable(reason)) => {
                tracing::warn!(%reason, "partitions of notifications are not acquired yet");
            }
        }
    }

    async fn serve(&mut self, requests: Vec<Request>) {
        let mut writes = Vec::new();
        for request in requests {
            match request {
                Request::Write(own, answer) => writes.push((own, answer)),
                Request::GoBack(answer) => {
                    let done = self.blocking(|ledger| {
                        ledger.rewind();
                        Ok(())
                    });
                    let done = done.await;
                    self.publish_status();
                    let _ = answer.send(done);
                }
                Request::Lost(partitions) => self.lose(&partitions),
            }
        }
        if !writes.is_empty() {
            self.write(writes).await;
        }
    }

    async fn write(&mut self, requests: Vec<(Writes, Answer)>) {
        let (own, answers): (Vec<Writes>, Vec<Answer>) = requests.into_iter().unzip();
        let own = Arc::new(own);
        let written = {
            let own = own.clone();
            self.blocking(move |ledger| ledger.write(&own)).await
        };
        self.publish_status();
        if written.is_ok() {
            for writes in own.iter() {
                self.index(writes).await;
            }
        }
        for answer in answers {
            let done = match &written {
                Ok(()) => Ok(()),
                Err(Error::Fatal(reason)) => Err(Error::Fatal(reason.clone())),
                Err(Error::Unavailable(reason) | Error::Rebalanced(reason)) => {
                    Err(Error::Unavailable(reason.clone()))
                }
            };
            let _ = answer.send(done);
        }
    }

    /// Brings the index up to date with what was written to the topic.
    async fn index(&mut self, writes: &Writes) {
        let owned = self.view.indexed();
        let ours = |retries: &[Retry]| -> Vec<Retry> {
            let is_ours = |retry: &&Retry| owned.iter().any(|one| one.partition == retry.partition);
            retries.iter().filter(is_ours).cloned().collect()
        };
        let (put, done) = (ours(&writes.put), ours(&writes.done));
        for (retries, waits) in [(put, true), (done, false)] {
            if retries.is_empty() {
                continue;
            }
            let changed = match waits {
                true => self.index.put(&owned, &retries).await,
                false => self.index.remove(&owned, &retries).await,
            };
            match changed {
                Ok(lost) => self.lose(&lost),
                Err(error) => {
                    tracing::warn!(%error, "the index of retries is unavailable; it will be rebuilt");
                    self.lose(&retries.iter().map(|retry| retry.partition).collect::<Vec<_>>());
                }
            }
        }
    }

    fn lose(&mut self, partitions: &[Partition]) {
        self.view.forget(|partition| partitions.contains(&partition));
        self.lost.extend(partitions);
    }

    /// Rebuilds lost indexes, at most once in `INDEX_PAUSE_MS`.
    async fn rebuild(&mut self) {
        let Some(first) = self.lost.first().copied() else { return };
        if Instant::now() < self.next_rebuild {
            return;
        }
        self.next_rebuild = Instant::now() + Duration::from_millis(INDEX_PAUSE_MS);
        let token = fresh_token();
        if self.index.clear(Owned { partition: first, token }).await.is_err() {
            return;
        }
        let lost = self.lost.clone();
        let restored = self.blocking(move |ledger| ledger.restore_again(&lost, token)).await;
        self.publish_status();
        match restored {
            Ok(restored) => {
                let partitions: Vec<Partition> = restored.iter().map(|one| one.partition).collect();
                tracing::info!(?partitions, "the index of retries was lost; rebuilding it");
                self.fill(restored, token).await;
            }
            Err(error) => self.report(Some(error)),
        }
    }

    /// Fills the index of these partitions with the retries of their topic.
    async fn fill(&mut self, restored: Vec<Restored>, token: u64) {
        let mut follow_from = BTreeMap::new();
        for Restored { partition, next, waiting } in restored {
            follow_from.insert(partition, next);
            match fill_one(&*self.index, Owned { partition, token }, &waiting).await {
                Ok(Kept::Done) => {
                    self.lost.remove(&partition);
                    lock(&self.view.indexed).push(Owned { partition, token });
                }
                Ok(Kept::Lost) => self.lose(&[partition]),
                Err(error) => {
                    tracing::warn!(%error, partition = partition.0, "the index of retries is unavailable");
                    self.lose(&[partition]);
                }
            }
        }
        self.follower.follow(follow_from);
    }

    /// Adds entries that other instances wrote to the index.
    async fn replay(&mut self) {
        let put = self.follower.read();
        if !put.is_empty() {
            tracing::info!(entries = put.len(), "replaying deliveries by request");
            self.index(&Writes { put, ..Writes::default() }).await;
        }
    }
}

async fn fill_one(index: &dyn RetryIndex, owned: Owned, waiting: &[Retry]) -> Result<Kept, Error> {
    index.clear(owned).await?;
    for page in waiting.chunks(INDEX_PAGE) {
        if index.restore(owned, page).await? == Kept::Lost {
            return Ok(Kept::Lost);
        }
    }
    index.seed(owned).await
}
