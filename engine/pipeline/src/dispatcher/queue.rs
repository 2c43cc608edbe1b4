//! The deliveries of one channel that wait in memory. A channel that cannot
//! keep up is marked slow: its deliveries then go through the retry queue, so
//! that the others are not held up.

use pricedrop_model::sync::lock;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::Notify;

use super::job::Job;

pub(super) struct LaneQueue {
    jobs: Mutex<VecDeque<Job>>,
    slow: AtomicBool,
    arrived: Notify,
    room: Notify,
    most: usize,
}

impl LaneQueue {
    pub(super) fn new(most: usize) -> LaneQueue {
        LaneQueue {
            jobs: Mutex::default(),
            slow: AtomicBool::new(false),
            arrived: Notify::new(),
            room: Notify::new(),
            most,
        }
    }

    /// Adds these jobs, waiting a while for room. What it gives back must wait
    /// in the retry queue; that may be more than was offered.
    pub(super) async fn offer(&self, jobs: Vec<Job>, patience: Duration) -> Vec<Job> {
        if self.slow.load(Relaxed) {
            return jobs;
        }
        let has_room = async {
            while self.lock().len() >= self.most {
                self.room.notified().await;
            }
        };
        if tokio::time::timeout(patience, has_room).await.is_err() {
            self.slow.store(true, Relaxed);
            return self.lock().drain(..).chain(jobs).collect();
        }
        self.lock().extend(jobs);
        self.arrived.notify_one();
        Vec::new()
    }

    /// Up to this many of the jobs that wait longest.
    pub(super) fn take(&self, most: usize) -> Vec<Job> {
        let mut jobs = self.lock();
        let count = most.min(jobs.len());
        let taken = jobs.drain(..count).collect();
        if jobs.len() < self.most {
            self.room.notify_one();
        }
        taken
    }

    /// Forgets what waits: the log hands it out again.
    pub(super) fn forget(&self) {
        self.lock().clear();
        self.room.notify_one();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// The retry queue holds nothing more that is due: the channel keeps up.
    pub(super) fn caught_up(&self) {
        self.slow.store(false, Relaxed);
    }

    /// Returns after jobs arrived.
    pub(super) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Job>> {
        lock(&self.jobs)
    }
}
