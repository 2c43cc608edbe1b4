//! The worker of one channel: takes its new deliveries and due retries, claims and renders them in
//! batches, and spawns their attempts.
//!
//! ```text
//! LaneQueue ─┐                                         ┌▶ Attempt ─┐
//!            ├▶ gather ▶ re-check ▶ claim ▶ render ────┼▶ Attempt ─┼▶ settle
//! RetryQueue ┘  (while permits are free)               └▶ Attempt ─┘
//! ```

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use pricedrop_model::WallTime;
use pricedrop_model::dispatch::{Access, Channel, Claim, Message, Outgoing, Refusal};
use pricedrop_model::plugin;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::attempt::{Attempt, Desk};
use super::backoff::{defer, failed};
use super::classifier::Classifier;
use super::fallback::fallback;
use super::job::{Job, Outcome, Settled};
use super::metrics::ChannelMetrics;
use super::options::Options;
use super::queue::LaneQueue;
use super::rate::Rate;
use super::recheck;
use super::render::render;
use super::shared::{Outcomes, Shared, Stopped};

type Rendered = Result<Result<Outgoing, Refusal>, plugin::Error>;

/// The worker of one channel.
pub(super) struct Lane {
    name: String,
    shared: Arc<Shared>,
    queue: Arc<LaneQueue>,
    metrics: Arc<ChannelMetrics>,
    desk: Desk,
    flow: Flow,
    next_look: Instant,
}

/// How many deliveries of the channel may be in flight: those being sent, and up to two batches
/// that are prepared meanwhile. Rebuilt when a new generation of the plugin has other limits.
struct Flow {
    concurrency: u32,
    rate: Option<u32>,
    in_flight: Arc<Semaphore>,
}

impl Flow {
    fn new(options: &Options, access: &Access) -> Flow {
        let concurrency = access.concurrency.unwrap_or(options.concurrency).max(1);
        let ahead = concurrency.saturating_add(2 * options.batch as u32);
        // With a rate limit, claim only what can be sent within about one timeout, before leases end.
        let seconds = access.timeout_ms.unwrap_or(options.timeout_ms).div_ceil(1000) as u32 + 1;
        let by_rate = access.rate_per_second.map_or(u32::MAX, |rate| rate.max(1).saturating_mul(seconds));
        let most_in_flight = ahead.min(by_rate);
        let in_flight = Arc::new(Semaphore::new(most_in_flight as usize));
        Flow { concurrency, rate: access.rate_per_second, in_flight }
    }

    /// Whether it has the rate and concurrency of this access.
    fn suits(&self, options: &Options, access: &Access) -> bool {
        self.rate == access.rate_per_second
            && self.concurrency == access.concurrency.unwrap_or(options.concurrency).max(1)
    }
}

impl Lane {
    pub(super) fn new(name: &str, shared: &Arc<Shared>, queue: Arc<LaneQueue>, outcomes: Outcomes) -> Lane {
        let flow = Flow::new(&shared.options, &Access::default());
        let metrics = shared.metrics.channel(name);
        let desk = Desk {
            metrics: Arc::clone(&metrics),
            classifier: Classifier::start(Arc::clone(shared)),
            sending: Arc::new(Semaphore::new(flow.concurrency as usize)),
            rate: Arc::new(Rate::default()),
            shared: Arc::clone(shared),
            outcomes,
        };
        Lane {
            name: name.to_owned(),
            metrics,
            shared: Arc::clone(shared),
            next_look: Instant::now(),
            queue,
            desk,
            flow,
        }
    }

    /// Runs until the dispatcher stops. Attempts in flight end on their own.
    pub(super) async fn run(mut self) {
        while !self.shared.stopping() {
            let channel = self.shared.plugins.channel(&self.name);
            if let Some(channel) = &channel {
                self.adapt(channel.access());
            }
            let Some(room) = self.room().await else { break };
            let Ok(jobs) = self.gather(room.num_permits()).await else { break };
            if jobs.is_empty() {
                self.wait().await;
                continue;
            }
            let jobs = self.board(jobs, room);
            if self.prepare(jobs, channel).await.is_err() {
                break;
            }
        }
    }

    fn adapt(&mut self, access: &Access) {
        if !self.flow.suits(&self.shared.options, access) {
            self.flow = Flow::new(&self.shared.options, access);
            self.desk.sending = Arc::new(Semaphore::new(self.flow.concurrency as usize));
        }
    }

    /// Waits for permits: at least one, at most `batch`. `None` if the dispatcher stops.
    async fn room(&self) -> Option<OwnedSemaphorePermit> {
        let first = tokio::select! {
            first = Arc::clone(&self.flow.in_flight).acquire_owned() => first.ok()?,
            () = self.shared.stopped() => return None,
        };
        let mut room = first;
        let more = self.flow.in_flight.available_permits().min(self.shared.options.batch - 1);
        if let Ok(more) = Arc::clone(&self.flow.in_flight).try_acquire_many_owned(more as u32) {
            room.merge(more);
        }
        Some(room)
    }

    /// Takes up to `most` jobs: due retries first, but at most half if new deliveries wait.
    async fn gather(&mut self, most: usize) -> Result<Vec<Job>, Stopped> {
        let mut jobs = Vec::new();
        if Instant::now() >= self.next_look {
            let share = if self.queue.is_empty() { most } else { most.div_ceil(2) };
            jobs = self.due(share).await?;
            if jobs.len() < share {
                self.queue.caught_up();
                self.next_look = Instant::now() + Duration::from_millis(self.shared.options.poll_ms);
            }
        }
        jobs.extend(self.queue.take(most - jobs.len()));
        Ok(jobs)
    }

    async fn due(&self, most: usize) -> Result<Vec<Job>, Stopped> {
        // Read before the retries are taken, so that a rebalance meanwhile makes these jobs outdated.
        let generation = self.shared.window.generation();
        let now = self.shared.clock.now();
        let until = self.shared.options.lease_until(now, self.timeout_ms());
        let retries = &self.shared.stores.retries;
        let taken = self.shared.ask(true, || retries.take(&self.name, now, until, most)).await?;
        Ok(taken.into_iter().map(|retry| Job::again(retry, generation)).collect())
    }

    fn timeout_ms(&self) -> u64 {
        let channel = self.shared.plugins.channel(&self.name);
        let own = channel.and_then(|channel| channel.access().timeout_ms);
        own.unwrap_or(self.shared.options.timeout_ms)
    }

    async fn wait(&self) {
        tokio::select! {
            () = self.queue.arrived() => {}
            () = tokio::time::sleep_until(self.next_look) => {}
            () = self.shared.stopped() => {}
        }
    }

    /// Gives one permit to every job.
    fn board(&self, jobs: Vec<Job>, mut room: OwnedSemaphorePermit) -> Vec<(Job, OwnedSemaphorePermit)> {
        self.metrics.in_flight.inc_by(jobs.len() as i64);
        jobs.into_iter()
            .map(|job| (job, room.split(1).expect("no more jobs than permits were gathered")))
            .collect()
    }

    /// Re-checks, claims and renders jobs, and starts their attempts.
    async fn prepare(
        &self,
        jobs: Vec<(Job, OwnedSemaphorePermit)>,
        channel: Option<Arc<dyn Channel>>,
    ) -> Result<(), Stopped> {
        let Some(channel) = channel else {
            self.plugin_missing(jobs);
            return Ok(());
        };
        let (jobs, permits): (Vec<_>, Vec<_>) = jobs.into_iter().unzip();
        let mut permits = permits.into_iter();
        let mut seat = |job: Job| (job, permits.next().expect("every job came with its permit"));
        let (jobs, risen) = recheck::risen(&self.shared, jobs).await;
        for job in risen {
            self.settle(seat(job), Outcome::Risen);
        }
        let jobs = self.claim(jobs.into_iter().map(seat).collect(), channel.name()).await?;
        let now = self.shared.clock.now();
        let currency = self.shared.options.currency;
        let max_age_ms = self.shared.options.max_age_ms;
        let messages: Vec<_> = jobs.iter().map(|(job, _)| job.message(currency, now, max_age_ms)).collect();
        let (messages, rendered) = render(&self.shared, &channel, messages).await;
        for ((job, message), answer) in jobs.into_iter().zip(messages).zip(rendered) {
            self.start(job, message, answer, &channel);
        }
        Ok(())
    }

    /// Records a failed attempt, because the plugin may be missing only while it is replaced.
    fn plugin_missing(&self, jobs: Vec<(Job, OwnedSemaphorePermit)>) {
        let now = self.shared.clock.now();
        for seated in jobs {
            let reason = format!("there is no plugin {}", self.name);
            let outcome = failed(&self.shared.options, &seated.0, reason, None, &self.name, now);
            self.settle(seated, outcome);
        }
    }

    /// Leases the jobs and returns those that were leased. The others get their outcome here: deferred
    /// until another lease ends, or delivered before.
    async fn claim(
        &self,
        jobs: Vec<(Job, OwnedSemaphorePermit)>,
        plugin: &str,
    ) -> Result<Vec<(Job, OwnedSemaphorePermit)>, Stopped> {
        let now = self.shared.clock.now();
        let until = self.shared.options.lease_until(now, self.timeout_ms());
        let mut seen = HashSet::new();
        let (jobs, twins): (Vec<_>, Vec<_>) =
            jobs.into_iter().partition(|(job, _)| seen.insert(job.key.clone()));
        for twin in twins {
            self.wait_for_lease(twin, until, plugin, now);
        }
        let keys: Vec<_> = jobs.iter().map(|(job, _)| job.key.clone()).collect();
        let leases = &self.shared.stores.leases;
        let claims = self.shared.ask(!keys.is_empty(), || leases.claim(&keys, now, until)).await?;
        let mut ours = Vec::with_capacity(jobs.len());
        for (mut seated, claim) in jobs.into_iter().zip(claims) {
            match claim {
                Claim::Yours => {
                    seated.0.lease = Some(until);
                    ours.push(seated);
                }
                Claim::Leased(until) => self.wait_for_lease(seated, until, plugin, now),
                Claim::Delivered => self.settle(seated, Outcome::DeliveredBefore),
            }
        }
        Ok(ours)
    }

    /// Defers a job until the lease of another worker ends. That worker may be dead, so the delivery
    /// must not count as done.
    fn wait_for_lease(
        &self,
        seated: (Job, OwnedSemaphorePermit),
        until: WallTime,
        plugin: &str,
        now: WallTime,
    ) {
        let reason = "leased by somebody else".to_owned();
        let outcome = defer(&self.shared.options, &seated.0, until, reason, plugin, now);
        self.settle(seated, outcome);
    }

    /// Starts the attempt of a job that was rendered; one that was refused becomes a dead letter.
    fn start(
        &self,
        (job, permit): (Job, OwnedSemaphorePermit),
        message: Message,
        answer: Rendered,
        channel: &Arc<dyn Channel>,
    ) {
        let dead = |reason| Outcome::Dead { reason, plugin: channel.name().to_owned() };
        let (outgoing, is_fallback) = match answer {
            Ok(Ok(outgoing)) => (outgoing, false),
            Ok(Err(Refusal::Permanent(reason))) => return self.settle((job, permit), dead(reason)),
            Ok(Err(Refusal::BadRecipient(reason))) => {
                self.metrics.bad_recipients.inc();
                return self.settle((job, permit), dead(format!("bad recipient: {reason}")));
            }
            Err(error) => match self.fall_back(&job, &message, error, channel) {
                Ok(outgoing) => (outgoing, true),
                Err(outcome) => return self.settle((job, permit), outcome),
            },
        };
        let attempt = Attempt {
            desk: self.desk.clone(),
            channel: Arc::clone(channel),
            message: Arc::new(message),
            is_fallback,
            job,
            outgoing,
            permit,
        };
        tokio::spawn(attempt.run());
    }

    /// Returns the plain message if the plugin failed; if there is none, the outcome of a failed attempt.
    fn fall_back(
        &self,
        job: &Job,
        message: &Message,
        error: plugin::Error,
        channel: &Arc<dyn Channel>,
    ) -> Result<Outgoing, Outcome> {
        self.metrics.plugin_failures.inc();
        tracing::warn!(%error, key = job.key, "falling back to the plain message of the host");
        fallback(message, channel.access()).ok_or_else(|| {
            let now = self.shared.clock.now();
            failed(&self.shared.options, job, error.to_string(), None, channel.name(), now)
        })
    }

    fn settle(&self, (job, permit): (Job, OwnedSemaphorePermit), outcome: Outcome) {
        self.desk.outcomes.send(Settled { job, outcome, permit: Some(permit) });
    }
}
