//! Stores the outcomes of deliveries, in batches: first confirmations and releases of leases, then
//! retries and dead letters, then removals from the retry queue.
//!
//! Invariant: a notification is marked finished, so that its offset may be committed, only after
//! the outcomes of all its deliveries are durable.

use std::sync::Arc;

use pricedrop_model::WallTime;
use pricedrop_model::dispatch::{DeadWhat, NewDeadLetter, Retry};
use tokio::sync::mpsc;

use super::job::{FinishedJob, Job, Origin, Outcome};
use super::offset_tracker::TrackedPosition;
use super::options::OUTCOME_BATCH;
use super::shared::{Shared, Stopped};

/// The store writes of one batch of outcomes.
#[derive(Default)]
struct Writes {
    confirm: Vec<String>,
    release: Vec<String>,
    put: Vec<Retry>,
    dead: Vec<NewDeadLetter>,
    remove: Vec<Retry>,
    finished: Vec<TrackedPosition>,
}

/// Runs until every sender of outcomes is dropped, or until a store needs an operator.
pub(super) async fn run(shared: Arc<Shared>, mut outcomes: mpsc::UnboundedReceiver<FinishedJob>) {
    let mut batch = Vec::with_capacity(OUTCOME_BATCH);
    while outcomes.recv_many(&mut batch, OUTCOME_BATCH).await > 0 {
        let mut writes = Writes::default();
        let now = shared.clock.now();
        let generation = shared.offsets.generation();
        for finished in &batch {
            match finished.job.generation == generation {
                true => writes.add(&finished.job, &finished.outcome, now),
                false => writes.add_outdated(&finished.job, &finished.outcome),
            }
        }
        if write(&shared, &writes, now).await.is_err() {
            return;
        }
        for finished in batch.drain(..) {
            tally(&shared, &finished);
        }
        shared.offsets.finish(&writes.finished);
    }
}

impl Writes {
    fn add(&mut self, job: &Job, outcome: &Outcome, now: WallTime) {
        let mut finished = true;
        match outcome {
            Outcome::Delivered => self.confirm.push(job.key.clone()),
            Outcome::DeliveredBefore | Outcome::Obsolete => {}
            Outcome::Retry { due, attempt, reason } => {
                self.put.push(job.retry(*due, *attempt, reason));
            }
            Outcome::Dead { reason, plugin } => {
                let retry = Box::new(job.retry(now, job.attempt, reason));
                let what = DeadWhat::Delivery { retry, plugin: plugin.clone() };
                self.dead.push(NewDeadLetter { at: now, reason: reason.clone(), what });
            }
            Outcome::Abandoned => {
                finished = false;
                self.put.extend(job.queued().map(|entry| Retry { due: now, ..entry }));
            }
        }
        let moved = matches!(outcome, Outcome::Retry { .. } | Outcome::Abandoned);
        if job.lease.is_some() && !matches!(outcome, Outcome::Delivered) {
            self.release.push(job.key.clone());
        }
        match job.origin {
            Origin::Log(tracked) if finished => self.finished.push(tracked),
            Origin::Queue(..) if !moved => self.remove.extend(job.queued()),
            _ => {}
        }
    }

    /// Adds an outcome of an older generation: partitions were assigned or revoked since the job was
    /// read. The log or the retry queue still has the delivery for the present owner, so only the
    /// confirmation, or the release of the lease, is written.
    fn add_outdated(&mut self, job: &Job, outcome: &Outcome) {
        match outcome {
            Outcome::Delivered => self.confirm.push(job.key.clone()),
            _ if job.lease.is_some() => self.release.push(job.key.clone()),
            _ => {}
        }
    }
}

/// Executes the writes. A lease is released before the retry is put, because otherwise the next
/// attempt could find this lease and wait for its end. A crash in between loses nothing: the
/// log or the retry queue still has the delivery.
async fn write(shared: &Shared, writes: &Writes, now: WallTime) -> Result<(), Stopped> {
    let stores = &shared.stores;
    let confirm =
        shared.call_store(!writes.confirm.is_empty(), || stores.leases.confirm(&writes.confirm, now));
    let release = shared.call_store(!writes.release.is_empty(), || stores.leases.release(&writes.release));
    futures::try_join!(confirm, release)?;
    let put = shared.call_store(!writes.put.is_empty(), || stores.retries.put(writes.put.clone()));
    let dead = shared.call_store(!writes.dead.is_empty(), || stores.dead_letters.add(writes.dead.clone()));
    futures::try_join!(put, dead)?;
    shared.call_store(!writes.remove.is_empty(), || stores.retries.remove(&writes.remove)).await?;
    Ok(())
}

fn tally(shared: &Shared, finished: &FinishedJob) {
    let metrics = shared.metrics.channel(&finished.job.to.channel);
    let counter = match &finished.outcome {
        Outcome::Delivered => Some(&metrics.delivered),
        Outcome::DeliveredBefore => Some(&metrics.delivered_before),
        Outcome::Obsolete => Some(&metrics.obsolete),
        Outcome::Retry { attempt, .. } if *attempt > finished.job.attempt => Some(&metrics.retried),
        Outcome::Retry { .. } => Some(&metrics.deferred),
        Outcome::Dead { .. } => Some(&metrics.dead),
        Outcome::Abandoned => None,
    };
    if let Some(counter) = counter {
        counter.inc();
    }
    if finished.permit.is_some() {
        metrics.in_flight.dec();
    }
}
