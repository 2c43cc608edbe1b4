//! Reads notifications, looks up the addresses of their users, and queues one delivery per
//! address for the worker of its channel. Owns the log, so it also commits the offsets.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use pricedrop_model::dispatch::{NotificationLog, Recipient};
use pricedrop_model::{Notification, Position, UserId, WallTime, ports};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::channel_queue::ChannelQueue;
use super::channel_worker::ChannelWorker;
use super::job::{Job, Outcome};
use super::options::{STORE_PAUSE_MS, WAITING_POLL_MS};
use super::shared::{Outcomes, Shared, Stopped};

pub(super) struct Intake {
    log: Box<dyn NotificationLog>,
    shared: Arc<Shared>,
    outcomes: Outcomes,
    workers: HashMap<String, (Arc<ChannelQueue>, JoinHandle<()>)>,
    next_waiting_poll: Instant,
}

impl Intake {
    pub(super) fn new(log: Box<dyn NotificationLog>, shared: Arc<Shared>, outcomes: Outcomes) -> Intake {
        Intake { log, shared, outcomes, workers: HashMap::new(), next_waiting_poll: Instant::now() }
    }

    /// Reads until the dispatcher stops, then waits for the channel workers. Returns the log for the
    /// last commit.
    pub(super) async fn run(mut self) -> Box<dyn NotificationLog> {
        while !self.shared.stopping() {
            if self.step().await.is_err() {
                break;
            }
        }
        for (_, worker) in self.workers.into_values() {
            // If a worker panicked, its deliveries are unfinished, but none has a wrong outcome.
            let _ = worker.await;
        }
        self.log
    }

    async fn step(&mut self) -> Result<(), Stopped> {
        commit(self.log.as_mut(), &self.shared).await?;
        self.poll_waiting().await?;
        let most = self.shared.offsets.capacity().min(self.shared.options.batch);
        if most == 0 {
            tokio::select! {
                () = self.shared.offsets.changed() => {}
                () = tokio::time::sleep(Duration::from_millis(self.shared.options.poll_ms)) => {}
            }
            return Ok(());
        }
        let batch = self.read(most).await?;
        if batch.is_empty() { Ok(()) } else { self.queue_deliveries(batch).await }
    }

    async fn read(&mut self, most: usize) -> Result<Vec<(Position, Notification)>, Stopped> {
        match self.log.next_batch(most, self.shared.options.poll_ms).await {
            Ok(batch) => Ok(batch),
            Err(ports::Error::Rebalanced(reason)) => {
                tracing::info!(%reason, "partitions were reassigned; reading continues with the current ones");
                self.forget();
                Ok(Vec::new())
            }
            Err(ports::Error::Unavailable(reason)) => {
                tracing::warn!(%reason, "notifications cannot be read; reading is retried");
                tokio::time::sleep(Duration::from_millis(STORE_PAUSE_MS)).await;
                Ok(Vec::new())
            }
            Err(ports::Error::Fatal(reason)) => {
                self.shared.fail(reason);
                Err(Stopped)
            }
        }
    }

    /// Forgets everything that was read and is not finished: the owner of its partition reads it
    /// again. Requests in flight continue under their leases.
    fn forget(&self) {
        self.shared.offsets.forget();
        for (queue, _) in self.workers.values() {
            queue.forget();
        }
    }

    async fn queue_deliveries(&mut self, batch: Vec<(Position, Notification)>) -> Result<(), Stopped> {
        self.shared.metrics.read.inc_by(batch.len() as u64);
        let mut users: Vec<UserId> =
            batch.iter().map(|(_, notification)| notification.user_id.clone()).collect();
        users.sort();
        users.dedup();
        let stores = &self.shared.stores;
        let found = self.shared.call_store(true, || stores.recipients.of(&users)).await?;
        let recipients: HashMap<UserId, Vec<Recipient>> = users.into_iter().zip(found).collect();
        let now = self.shared.clock.now();
        let mut by_channel: HashMap<String, Vec<Job>> = HashMap::new();
        for (position, notification) in batch {
            let addresses = self.addresses(&notification.user_id, &recipients);
            let tracked = self.shared.offsets.track(position, addresses.len());
            let notification = Arc::new(notification);
            for to in addresses {
                let job = Job::first(&self.shared.keys, &notification, to, tracked, now);
                by_channel.entry(job.to.channel.clone()).or_default().push(job);
            }
        }
        for (channel, jobs) in by_channel {
            self.enqueue(&channel, jobs, now).await;
        }
        Ok(())
    }

    /// Returns the addresses of a user, at most `addresses_per_user`. A user without any gets the
    /// default channels, with the user name as the address.
    fn addresses(&self, user: &UserId, recipients: &HashMap<UserId, Vec<Recipient>>) -> Vec<Recipient> {
        let (options, metrics) = (&self.shared.options, &self.shared.metrics);
        let mut own = recipients.get(user).cloned().unwrap_or_default();
        if own.is_empty() {
            let default = |channel: &String| Recipient {
                user_id: user.clone(),
                channel: channel.clone(),
                address: user.as_str().to_owned(),
                locale: None,
                attributes: Vec::new(),
            };
            own = options.default_channels.iter().map(default).collect();
        }
        if own.is_empty() {
            metrics.unreachable.inc();
        }
        let ignored = own.len().saturating_sub(options.addresses_per_user);
        metrics.addresses_ignored.inc_by(ignored as u64);
        own.truncate(options.addresses_per_user);
        own
    }

    /// Queues deliveries of one channel. If its queue stays full for `channel_queue_timeout_ms`, they
    /// go to the retry queue, so that the other channels do not wait longer.
    async fn enqueue(&mut self, channel: &str, jobs: Vec<Job>, now: WallTime) {
        let Some(queue) = self.queue_of(channel) else {
            for job in jobs {
                let reason = format!("there are more than {} channels", self.shared.options.channels);
                self.outcomes.send_unstarted(job, Outcome::Dead { reason, plugin: channel.to_owned() });
            }
            return;
        };
        let timeout = Duration::from_millis(self.shared.options.channel_queue_timeout_ms);
        for job in queue.push(jobs, timeout).await {
            let reason = "the queue of the channel is full".to_owned();
            let attempt = job.attempt;
            self.outcomes.send_unstarted(job, Outcome::Retry { due: now, attempt, reason });
        }
    }

    /// Returns the queue of a channel and starts its worker if there is none. `None` if there are
    /// `channels` workers already.
    fn queue_of(&mut self, channel: &str) -> Option<Arc<ChannelQueue>> {
        if let Some((queue, _)) = self.workers.get(channel) {
            return Some(Arc::clone(queue));
        }
        if self.workers.len() >= self.shared.options.channels {
            return None;
        }
        let queue = Arc::new(ChannelQueue::new(self.shared.options.channel_queue));
        let worker = ChannelWorker::new(channel, &self.shared, Arc::clone(&queue), self.outcomes.clone());
        self.workers.insert(channel.to_owned(), (Arc::clone(&queue), tokio::spawn(worker.run())));
        Some(queue)
    }

    /// Counts the waiting retries of each channel, and starts workers for channels that have only
    /// retries. Does nothing until [`WAITING_POLL_MS`] have passed since the last time.
    async fn poll_waiting(&mut self) -> Result<(), Stopped> {
        if Instant::now() < self.next_waiting_poll {
            return Ok(());
        }
        self.next_waiting_poll = Instant::now() + Duration::from_millis(WAITING_POLL_MS);
        let stores = &self.shared.stores;
        let waiting = self.shared.call_store(true, || stores.retries.waiting()).await?;
        for (name, metrics) in self.shared.metrics.channels() {
            let entries = waiting.iter().find(|(channel, _)| *channel == name);
            metrics.waiting.set(entries.map_or(0, |(_, entries)| *entries) as i64);
        }
        for (channel, _) in &waiting {
            self.queue_of(channel);
        }
        Ok(())
    }
}

/// Commits the offset of the first unfinished notification of each partition.
///
/// # Errors
/// The log failed in a way that an operator has to fix; the dispatcher stops.
pub(super) async fn commit(log: &mut dyn NotificationLog, shared: &Shared) -> Result<(), Stopped> {
    let next = shared.offsets.advance();
    if next.is_empty() {
        return Ok(());
    }
    match log.commit(&next).await {
        Ok(()) => {
            shared.offsets.committed(&next);
            Ok(())
        }
        // The next commit includes these offsets.
        Err(ports::Error::Unavailable(reason) | ports::Error::Rebalanced(reason)) => {
            tracing::warn!(%reason, "offsets were not committed; the next commit includes them");
            Ok(())
        }
        Err(ports::Error::Fatal(reason)) => {
            shared.fail(reason);
            Err(Stopped)
        }
    }
}
