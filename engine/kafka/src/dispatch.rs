//! The dispatcher's side of Kafka: one member of the dispatchers' group, and
//! one worker that writes what its log and its retry queue ask for.
//!
//! ```text
//! user_notifications ─▶ KafkaNotifications ─┐ offsets
//!                                           ├─▶ worker ─▶ one transaction ─▶ index
//!                       KafkaRetries ───────┘ put, remove
//!                             └──────────── take ─────────────────────────────▶ index
//! ```
//!
//! What waits while a transaction is on its way goes into the next one.
//!
//! Invariant: the index follows the topic. What is in the topic and did not
//! come into the index is read from the topic again; nothing is the other way
//! round but due times of entries that are taken.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pricedrop_model::Partition;
use pricedrop_model::dispatch::Retry;
use pricedrop_model::seams::Error;
use tokio::sync::{mpsc, oneshot};

use super::dispatch_ledger::{Ledger, Restored, Writes};
use super::dispatch_replays::Follower;
use super::group::lock;
use super::limits::{DISPATCH_TICK_MS, INDEX_PAGE, INDEX_PAUSE_MS, WRITES};
use super::member::Member;
use super::notifications::KafkaNotifications;
use super::retries::KafkaRetries;
use super::settings::Settings;
use super::{KafkaDeadLetters, Start, fresh_token};
use pricedrop_model::retry_index::{Kept, Owned, RetryIndex};

/// How a dispatcher works with Kafka.
#[derive(Clone)]
pub struct DispatchOptions {
    /// Where the cluster is.
    pub settings: Settings,
    /// Of this instance's dispatcher alone, and the same after a restart.
    pub transactional_id: String,
    /// Where a group begins that never read the notifications.
    pub start: Option<Start>,
    /// Which retries are due.
    pub index: Arc<dyn RetryIndex>,
}

impl DispatchOptions {
    /// The group of all dispatchers.
    pub fn group(&self) -> String {
        format!("{}.dispatcher", self.settings.group)
    }
}

/// A dispatcher's membership: its log and its retry queue. It leaves the group
/// when the last of these is dropped.
pub struct KafkaDispatch(Arc<Handle>);

impl KafkaDispatch {
    /// Joins the dispatchers' group, on the runtime it is called on.
    ///
    /// # Errors
    /// The configuration is refused.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn join(options: DispatchOptions) -> Result<KafkaDispatch, Error> {
        let settings = options.settings.clone();
        let index = options.index.clone();
        let member = Member::join(&settings, &options.group(), &settings.topics.notifications)?;
        let member = Arc::new(member);
        let view = Arc::new(View::default());
        let (requests, inbox) = mpsc::unbounded_channel();
        let worker = Worker {
            follower: Follower::new(&settings)?,
            ledger: Arc::new(Mutex::new(Ledger::new(options, member.clone()))),
            view: view.clone(),
            index: index.clone(),
            lost: BTreeSet::new(),
            next_rebuild: Instant::now(),
            next_follow: Instant::now(),
        };
        tokio::spawn(worker.run(inbox));
        Ok(KafkaDispatch(Arc::new(Handle { member, requests, view, index })))
    }

    /// The notifications; asked once. Records that are none go to these dead
    /// letters.
    pub fn notifications(&self, dead_letters: KafkaDeadLetters) -> KafkaNotifications {
        KafkaNotifications::new(self.0.clone(), dead_letters)
    }

    /// The retry queue.
    pub fn retries(&self) -> KafkaRetries {
        KafkaRetries::new(self.0.clone())
    }

    /// Whether it has taken over what the group gave it, be it nothing.
    pub fn is_level(&self) -> bool {
        self.0.view.level.load(Ordering::SeqCst)
    }

    /// The partitions whose retries are served.
    pub fn serving(&self) -> Vec<Partition> {
        self.0.view.indexed().iter().map(|owned| owned.partition).collect()
    }

    /// What the client complained of since this was asked last.
    pub fn trouble(&self) -> Option<String> {
        self.0.member.trouble()
    }
}

/// What log and queue share.
pub(super) struct Handle {
    pub(super) member: Arc<Member>,
    pub(super) view: Arc<View>,
    pub(super) index: Arc<dyn RetryIndex>,
    requests: mpsc::UnboundedSender<Request>,
}

/// What the worker lets others see.
#[derive(Default)]
pub(super) struct View {
    moved: AtomicBool,
    level: AtomicBool,
    broken: Mutex<Option<String>>,
    indexed: Mutex<Vec<Owned>>,
}

impl View {
    /// Whether the dispatcher must forget what it read.
    pub(super) fn moved(&self) -> bool {
        self.moved.load(Ordering::SeqCst)
    }

    /// Why a person has to look.
    pub(super) fn broken(&self) -> Option<String> {
        lock(&self.broken).clone()
    }

    /// The partitions whose index is complete.
    pub(super) fn indexed(&self) -> Vec<Owned> {
        lock(&self.indexed).clone()
    }

    fn forget(&self, gone: impl Fn(Partition) -> bool) {
        lock(&self.indexed).retain(|owned| !gone(owned.partition));
    }
}

/// What the worker is asked for.
enum Request {
    Write(Writes, Answer),
    GoBack(Answer),
    Lost(Vec<Partition>),
}

type Answer = oneshot::Sender<Result<(), Error>>;

impl Handle {
    /// Writes in the next transaction.
    pub(super) async fn write(&self, writes: Writes) -> Result<(), Error> {
        self.ask(|answer| Request::Write(writes, answer)).await
    }

    /// Goes back to what is settled, everywhere.
    pub(super) async fn go_back(&self) -> Result<(), Error> {
        self.ask(Request::GoBack).await
    }

    /// The index of these partitions was lost.
    pub(super) fn lost(&self, partitions: Vec<Partition>) {
        let _ = self.requests.send(Request::Lost(partitions));
    }

    async fn ask(&self, request: impl FnOnce(Answer) -> Request) -> Result<(), Error> {
        let ended = || Error::Broken("the dispatcher's worker ended".into());
        let (answer, answered) = oneshot::channel();
        self.requests.send(request(answer)).map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }
}

/// Writes, and follows rebalances.
struct Worker {
    ledger: Arc<Mutex<Ledger>>,
    view: Arc<View>,
    index: Arc<dyn RetryIndex>,
    follower: Follower,
    /// Partitions whose index is to be rebuilt.
    lost: BTreeSet<Partition>,
    next_rebuild: Instant,
    next_follow: Instant,
}

impl Worker {
    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Request>) {
        let tick = Duration::from_millis(DISPATCH_TICK_MS);
        let mut waiting = Vec::new();
        loop {
            if let Ok(0) = tokio::time::timeout(tick, inbox.recv_many(&mut waiting, WRITES)).await {
                break;
            }
            self.follow().await;
            self.serve(std::mem::take(&mut waiting)).await;
            self.rebuild().await;
            self.replay().await;
        }
        // Leaving a group takes a moment.
        let Worker { ledger, follower, .. } = self;
        tokio::task::spawn_blocking(move || drop((ledger, follower)));
    }

    /// Runs a call that blocks; a worker whose runtime ends does nothing more.
    async fn blocking<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut Ledger) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let ledger = self.ledger.clone();
        let done = tokio::task::spawn_blocking(move || call(&mut lock(&ledger))).await;
        done.map_err(|error| Error::Broken(format!("the dispatcher's worker: {error}")))?
    }

    /// Takes over what came, after the dispatcher can know of what went.
    async fn follow(&mut self) {
        if Instant::now() < self.next_follow {
            return;
        }
        let token = fresh_token();
        let taken = self.blocking(move |ledger| ledger.follow(token)).await;
        self.look();
        match taken {
            Ok(taken) if taken.is_empty() => {}
            Ok(taken) => {
                *lock(&self.view.broken) = None;
                let partitions: Vec<Partition> = taken.iter().map(|one| one.partition).collect();
                self.fill(taken, token).await;
                let read_on = self.blocking(move |ledger| {
                    ledger.read_on(&partitions);
                    Ok(())
                });
                self.complain(read_on.await.err());
            }
            Err(error) => {
                self.next_follow = Instant::now() + Duration::from_millis(INDEX_PAUSE_MS);
                self.complain(Some(error));
            }
        }
    }

    /// Shows what the ledger knows of moves.
    fn look(&mut self) {
        let (moving, level, owned) = {
            let ledger = lock(&self.ledger);
            (ledger.is_moving(), ledger.is_level(), ledger.owned())
        };
        self.view.moved.store(moving, Ordering::SeqCst);
        self.view.level.store(level, Ordering::SeqCst);
        self.view.forget(|partition| !owned.contains(&partition));
        self.lost.retain(|partition| owned.contains(partition));
        self.follower.keep(&owned);
    }

    fn complain(&self, error: Option<Error>) {
        match error {
            None => {}
            Some(Error::Broken(reason)) => {
                tracing::error!(reason, "the dispatcher's partitions are not served");
                *lock(&self.view.broken) = Some(reason);
            }
            Some(Error::Moved(reason)) => {
                tracing::info!(reason, "partitions moved while they were taken over")
            }
            Some(Error::Unavailable(reason)) => {
                tracing::warn!(reason, "partitions of notifications wait to be taken over");
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
                        ledger.go_back();
                        Ok(())
                    });
                    let done = done.await;
                    self.look();
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
        self.look();
        if written.is_ok() {
            for writes in own.iter() {
                self.index(writes).await;
            }
        }
        for answer in answers {
            let done = match &written {
                Ok(()) => Ok(()),
                Err(Error::Broken(reason)) => Err(Error::Broken(reason.clone())),
                Err(Error::Unavailable(reason) | Error::Moved(reason)) => {
                    Err(Error::Unavailable(reason.clone()))
                }
            };
            let _ = answer.send(done);
        }
    }

    /// Brings into the index what the topic has now.
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
                    tracing::warn!(%error, "the index of retries is away; it will be made anew");
                    self.lose(&retries.iter().map(|retry| retry.partition).collect::<Vec<_>>());
                }
            }
        }
    }

    fn lose(&mut self, partitions: &[Partition]) {
        self.view.forget(|partition| partitions.contains(&partition));
        self.lost.extend(partitions);
    }

    /// Makes lost indexes anew; one that is away is asked again after a while.
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
        self.look();
        match restored {
            Ok(restored) => {
                let partitions: Vec<Partition> = restored.iter().map(|one| one.partition).collect();
                tracing::info!(?partitions, "the index of retries is made anew");
                self.fill(restored, token).await;
            }
            Err(error) => self.complain(Some(error)),
        }
    }

    /// Makes the index of these partitions from what their topic has.
    async fn fill(&mut self, restored: Vec<Restored>, token: u64) {
        let mut behind = BTreeMap::new();
        for Restored { partition, behind: next, waiting } in restored {
            behind.insert(partition, next);
            match fill_one(&*self.index, Owned { partition, token }, &waiting).await {
                Ok(Kept::Done) => {
                    self.lost.remove(&partition);
                    lock(&self.view.indexed).push(Owned { partition, token });
                }
                Ok(Kept::Lost) => self.lose(&[partition]),
                Err(error) => {
                    tracing::warn!(%error, partition = partition.0, "the index of retries is away");
                    self.lose(&[partition]);
                }
            }
        }
        self.follower.follow(behind);
    }

    /// Brings entries into the index that were written elsewhere.
    async fn replay(&mut self) {
        let put = self.follower.read();
        if !put.is_empty() {
            tracing::info!(entries = put.len(), "deliveries to be tried again, by request");
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
