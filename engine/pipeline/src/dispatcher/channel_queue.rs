//! The in-memory queue of one channel's deliveries. If it stays full for too long, the channel is
//! marked slow: its deliveries then go through the retry queue, so that other channels do not
//! wait for it.

use pricedrop_model::sync::lock;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::Notify;

use super::job::Job;

/// The queue, shared by the task that reads notifications and the channel's worker.
pub(super) struct ChannelQueue {
    jobs: Mutex<VecDeque<Job>>,
    slow: AtomicBool,
    arrived: Notify,
    space_freed: Notify,
    most: usize,
}

impl ChannelQueue {
    pub(super) fn new(most: usize) -> ChannelQueue {
        ChannelQueue {
            jobs: Mutex::default(),
            slow: AtomicBool::new(false),
            arrived: Notify::new(),
            space_freed: Notify::new(),
            most,
        }
    }

    /// Adds these jobs, after waiting up to `timeout` for space. Returns the jobs that the caller
    /// must put into the retry queue: after a timeout all pushed jobs and all queued ones.
    ///
    /// All jobs are added if there is space for one, so the queue may exceed its limit by one call.
    pub(super) async fn push(&self, jobs: Vec<Job>, timeout: Duration) -> Vec<Job> {
        if self.slow.load(Relaxed) {
            return jobs;
        }
        let has_space = async {
            while self.lock().len() >= self.most {
                self.space_freed.notified().await;
            }
        };
        if tokio::time::timeout(timeout, has_space).await.is_err() {
            self.slow.store(true, Relaxed);
            return self.lock().drain(..).chain(jobs).collect();
        }
        self.lock().extend(jobs);
        self.arrived.notify_one();
        Vec::new()
    }

    /// Removes and returns up to `most` jobs, the oldest first.
    pub(super) fn take(&self, most: usize) -> Vec<Job> {
        let mut jobs = self.lock();
        let count = most.min(jobs.len());
        let taken = jobs.drain(..count).collect();
        if jobs.len() < self.most {
            self.space_freed.notify_one();
        }
        taken
    }

    /// Removes all jobs, because the log returns their notifications again.
    pub(super) fn forget(&self) {
        self.lock().clear();
        self.space_freed.notify_one();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Marks the channel as no longer slow. Called when the retry queue has no more due entries.
    pub(super) fn caught_up(&self) {
        self.slow.store(false, Relaxed);
    }

    /// Returns after jobs were added.
    pub(super) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Job>> {
        lock(&self.jobs)
    }
}
