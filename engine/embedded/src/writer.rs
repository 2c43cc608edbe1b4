//! The only thread that writes to the store. Writes that arrive during a sync wait together and
//! share the next one. Each sees the writes before it in its group.
//!
//! ```text
//! write(..) ─▶ queue ─▶ group ─▶ one batch ─▶ one sync ─▶ answers
//!                                    └─ failed: close, then open again when there is room
//! ```
//!
//! A batch that failed has an unknown outcome. So the database is closed and opened again from
//! disk before anything else is written.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pricedrop_model::{Cause, ports};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::error::Broken;
use super::limits::{CHECK_MS, CONGESTED_MS, GROUP_ROWS, WRITES_WAITING};
use super::reopen::Schedule;
use super::store::{Store, cause};
use super::store_handle::{ReadError, StoreHandle};
use super::txn::{Counters, Txn, stored_times};
use super::watch_clock::WatchClock;

/// How a write failed.
#[derive(Debug, Clone)]
pub(super) enum WriteError {
    /// Nothing was written.
    NotCommitted(Cause),
    /// It may have been written.
    Unknown(Cause),
    /// Nothing was written, and retrying does not help: an operator has to look.
    Fatal(Cause),
}

impl From<WriteError> for ports::Error {
    fn from(error: WriteError) -> ports::Error {
        match error {
            WriteError::NotCommitted(reason) | WriteError::Unknown(reason) => {
                ports::Error::Unavailable(reason)
            }
            WriteError::Fatal(reason) => ports::Error::Fatal(reason),
        }
    }
}

impl From<ReadError> for WriteError {
    fn from(error: ReadError) -> WriteError {
        match error {
            ReadError::Database(error) => WriteError::NotCommitted(cause(error)),
            ReadError::Broken(Broken(reason)) => WriteError::Fatal(reason),
        }
    }
}

/// A write in the queue.
trait Job: Send {
    /// Adds its changes to the group.
    fn run(&mut self, txn: &mut Txn<'_>) -> Result<(), ReadError>;
    /// Sends the outcome to the caller.
    fn finish(self: Box<Self>, outcome: Result<(), WriteError>);
}

struct Call<F, T> {
    work: Option<F>,
    value: Option<T>,
    reply: oneshot::Sender<Result<T, WriteError>>,
    _room: Option<OwnedSemaphorePermit>,
}

impl<F, T> Job for Call<F, T>
where
    F: FnOnce(&mut Txn<'_>) -> Result<T, ReadError> + Send,
    T: Send,
{
    fn run(&mut self, txn: &mut Txn<'_>) -> Result<(), ReadError> {
        let work = self.work.take().expect("a job runs once");
        self.value = Some(work(txn)?);
        Ok(())
    }

    fn finish(self: Box<Self>, outcome: Result<(), WriteError>) {
        let Call { value, reply, .. } = *self;
        // If the caller does not wait any more, the write is kept all the same.
        let _ = reply.send(outcome.map(|()| value.expect("a job that succeeded left its value")));
    }
}

/// Queues writes for the writer's thread.
#[derive(Clone)]
pub(super) struct Writer {
    queue: Sender<Box<dyn Job>>,
    room: Arc<Semaphore>,
}

impl Writer {
    /// Starts the thread, which ends when the last handle is dropped.
    pub(super) fn start(
        store: Arc<StoreHandle>,
        watch_clock: Arc<WatchClock>,
    ) -> std::io::Result<(Writer, JoinHandle<()>)> {
        let (queue, jobs) = mpsc::channel();
        let thread = Thread { jobs, store, watch_clock, counters: None, reopening: Schedule::new() };
        let handle =
            std::thread::Builder::new().name("embedded-writer".into()).spawn(move || thread.run())?;
        Ok((Writer { queue, room: Arc::new(Semaphore::new(WRITES_WAITING)) }, handle))
    }

    /// Writes durably. `work` runs on the writer's thread and must keep no handle of the store.
    pub(super) async fn write<T, F>(&self, work: F) -> Result<T, WriteError>
    where
        F: FnOnce(&mut Txn<'_>) -> Result<T, ReadError> + Send + 'static,
        T: Send + 'static,
    {
        let room = self.room.clone().acquire_owned().await;
        let room = room.map_err(|_| WriteError::NotCommitted("the store is closing".into()))?;
        let answer = self.send(work, Some(room))?;
        answer.await.unwrap_or_else(|_| Err(WriteError::Unknown("the writer ended".into())))
    }

    /// Queues a write without waiting for it. This queue is not bounded, so a caller should have
    /// one such write in it at most.
    pub(super) fn send_only<F>(&self, work: F) -> Result<(), WriteError>
    where
        F: FnOnce(&mut Txn<'_>) -> Result<(), ReadError> + Send + 'static,
    {
        self.send(work, None).map(drop)
    }

    /// Writes durably and blocks the calling thread. Only the maintenance thread calls it, so it
    /// has one write in the queue at most.
    pub(super) fn write_blocking<T, F>(&self, work: F) -> Result<T, WriteError>
    where
        F: FnOnce(&mut Txn<'_>) -> Result<T, ReadError> + Send + 'static,
        T: Send + 'static,
    {
        let answer = self.send(work, None)?;
        answer.blocking_recv().unwrap_or_else(|_| Err(WriteError::Unknown("the writer ended".into())))
    }

    fn send<T, F>(
        &self,
        work: F,
        room: Option<OwnedSemaphorePermit>,
    ) -> Result<oneshot::Receiver<Result<T, WriteError>>, WriteError>
    where
        F: FnOnce(&mut Txn<'_>) -> Result<T, ReadError> + Send + 'static,
        T: Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let call = Call { work: Some(work), value: None, reply, _room: room };
        let ended = |_| WriteError::NotCommitted("the writer ended".into());
        self.queue.send(Box::new(call)).map_err(ended)?;
        Ok(answer)
    }
}

struct Thread {
    jobs: Receiver<Box<dyn Job>>,
    store: Arc<StoreHandle>,
    watch_clock: Arc<WatchClock>,
    /// `None`: to be read from the store before the next write.
    counters: Option<Counters>,
    reopening: Schedule,
}

/// The outcome of a group.
enum GroupOutcome {
    Committed,
    /// The database failed; the whole group's outcome is unknown.
    Failed(fjall::Error),
    /// The group was refused before anything was written.
    Refused(WriteError),
}

impl Thread {
    fn run(mut self) {
        loop {
            match self.jobs.recv_timeout(Duration::from_millis(CHECK_MS)) {
                Ok(job) => self.group(job),
                Err(RecvTimeoutError::Timeout) => self.check_store(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Detects a database whose background work failed, and opens a closed one again.
    fn check_store(&mut self) {
        if self.store.down().is_some() {
            self.reopen_if_due();
        } else if let Ok(Err(error)) = self.store.read(|store| Ok(store.check())) {
            self.fail(error);
        }
    }

    fn reopen_if_due(&mut self) {
        if !self.reopening.is_due() {
            return;
        }
        match self.store.reopen() {
            Ok(()) => tracing::info!("the store is open again"),
            Err(_) => self.reopening.postpone(),
        }
    }

    fn fail(&mut self, error: fjall::Error) -> Cause {
        let reason = self.store.reason_of(error);
        tracing::error!(%reason, "a write to the store failed; the store is closed until it can be opened again");
        self.store.close(reason.clone());
        self.counters = None;
        self.reopening = Schedule::new();
        reason
    }

    fn group(&mut self, first: Box<dyn Job>) {
        if self.store.down().is_some() {
            self.reopen_if_due();
        }
        let mut ran = Vec::new();
        let mut waiting = Some(first);
        let (handle, mut counters) = (self.store.clone(), self.counters.take());
        let group_outcome =
            handle.read(|store| Ok(self.write_group(store, &mut counters, &mut waiting, &mut ran)));
        self.counters = counters;
        let outcome = match group_outcome {
            Ok(GroupOutcome::Committed) => Ok(()),
            Ok(GroupOutcome::Refused(error)) => Err(error),
            Ok(GroupOutcome::Failed(error)) => Err(WriteError::Unknown(self.fail(error))),
            Err(error) => Err(WriteError::NotCommitted(error.into_cause())),
        };
        // Only now, after the store was closed: a view must not be opened on a store that may
        // come back with more rows.
        self.watch_clock.end_stamp();
        ran.extend(waiting);
        for job in ran {
            job.finish(outcome.clone());
        }
    }

    fn write_group(
        &self,
        store: &Store,
        counters: &mut Option<Counters>,
        next: &mut Option<Box<dyn Job>>,
        ran: &mut Vec<Box<dyn Job>>,
    ) -> GroupOutcome {
        let before = match self.ready(store, counters) {
            Ok(counters) => counters,
            Err(group_outcome) => return group_outcome,
        };
        let mut after = before;
        let mut txn = Txn::new(store, &self.watch_clock, &mut after);
        while let Some(mut job) = next.take() {
            let kept = txn.len();
            match job.run(&mut txn) {
                Ok(()) => ran.push(job),
                Err(error) => {
                    txn.undo_to(kept);
                    job.finish(Err(self.store.explain(error)));
                }
            }
            if txn.len() < GROUP_ROWS {
                *next = self.jobs.try_recv().ok();
            }
        }
        match txn.commit(self.watch_clock.latest()) {
            Ok(()) => {
                *counters = Some(after);
                GroupOutcome::Committed
            }
            Err(error) => GroupOutcome::Failed(error),
        }
    }

    /// Waits until a write cannot block inside the database, and reads the counters if needed.
    fn ready(&self, store: &Store, counters: &mut Option<Counters>) -> Result<Counters, GroupOutcome> {
        let until = Instant::now() + Duration::from_millis(CONGESTED_MS);
        if !store.wait_for_room(Some(until)).map_err(GroupOutcome::Failed)? {
            let busy = "the store is busy writing tables";
            return Err(GroupOutcome::Refused(WriteError::NotCommitted(busy.into())));
        }
        if let Some(counters) = *counters {
            return Ok(counters);
        }
        let refused = |error: ReadError| GroupOutcome::Refused(error.into());
        self.watch_clock.start_after(stored_times(store).map_err(refused)?);
        Ok(*counters.insert(Counters::read(store).map_err(refused)?))
    }
}
