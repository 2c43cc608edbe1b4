//! The worker of one channel: takes its new deliveries and due retries, claims and renders them in
//! batches, and spawns their attempts.
//!
//! ```text
//! ChannelQueue ─┐                                          ┌▶ Attempt ─┐
//!               ├▶ take ▶ re-check ▶ claim ▶ render ───────┼▶ Attempt ─┼▶ outcome_writer
//! RetryQueue ───┘  (while permits are free)                └▶ Attempt ─┘
//! ```

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use pricedrop_model::WallTime;
use pricedrop_model::dispatch::{Access, Channel, Claim, Message, Outgoing, RenderError};
use pricedrop_model::plugin;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::attempt::{Attempt, AttemptContext};
use super::backoff::{defer, failed};
use super::channel_queue::ChannelQueue;
use super::classifier::Classifier;
use super::fallback::fallback;
use super::job::{FinishedJob, Job, Outcome};
use super::metrics::ChannelMetrics;
use super::options::Options;
use super::rate::Rate;
use super::recheck;
use super::render::render;
use super::shared::{Outcomes, Shared, Stopped};

type Rendered = Result<Result<Outgoing, RenderError>, plugin::Error>;

/// A job with its permit to be in flight.
type JobWithPermit = (Job, OwnedSemaphorePermit);

/// The worker of one channel.
pub(super) struct ChannelWorker {
    name: String,
    shared: Arc<Shared>,
    queue: Arc<ChannelQueue>,
    metrics: Arc<ChannelMetrics>,
    context: AttemptContext,
    flow: Flow,
    next_poll: Instant,
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
        let sent_and_prepared = concurrency.saturating_add(2 * options.batch as u32);
        // With a rate limit, claim only what can be sent within about one timeout, before leases end.
        let seconds = access.timeout_ms.unwrap_or(options.timeout_ms).div_ceil(1000) as u32 + 1;
        let by_rate = access.rate_per_second.map_or(u32::MAX, |rate| rate.max(1).saturating_mul(seconds));
        let most_in_flight = sent_and_prepared.min(by_rate);
        let in_flight = Arc::new(Semaphore::new(most_in_flight as usize));
        Flow { concurrency, rate: access.rate_per_second, in_flight }
    }

    /// Whether it has the rate and concurrency of this access.
    fn matches(&self, options: &Options, access: &Access) -> bool {
        self.rate == access.rate_per_second
            && self.concurrency == access.concurrency.unwrap_or(options.concurrency).max(1)
    }
}

impl ChannelWorker {
    pub(super) fn new(
        name: &str,
        shared: &Arc<Shared>,
        queue: Arc<ChannelQueue>,
        outcomes: Outcomes,
    ) -> ChannelWorker {
        let flow = Flow::new(&shared.options, &Access::default());
        let metrics = shared.metrics.channel(name);
        let context = AttemptContext {
            metrics: Arc::clone(&metrics),
            classifier: Classifier::start(Arc::clone(shared)),
            sending: Arc::new(Semaphore::new(flow.concurrency as usize)),
            rate: Arc::new(Rate::default()),
            shared: Arc::clone(shared),
            outcomes,
        };
        ChannelWorker {
            name: name.to_owned(),
            metrics,
            shared: Arc::clone(shared),
            next_poll: Instant::now(),
            queue,
            context,
            flow,
        }
    }

    /// Runs until the dispatcher stops. Attempts in flight end on their own.
    pub(super) async fn run(mut self) {
        while !self.shared.stopping() {
            let channel = self.shared.plugins.channel(&self.name);
            if let Some(channel) = &channel {
                self.apply_limits(channel.access());
            }
            let Some(permits) = self.acquire_permits().await else { break };
            let Ok(jobs) = self.take_jobs(permits.num_permits()).await else { break };
            if jobs.is_empty() {
                self.wait().await;
                continue;
            }
            let jobs = self.assign_permits(jobs, permits);
            if self.prepare(jobs, channel).await.is_err() {
                break;
            }
        }
    }

    fn apply_limits(&mut self, access: &Access) {
        if !self.flow.matches(&self.shared.options, access) {
            self.flow = Flow::new(&self.shared.options, access);
            self.context.sending = Arc::new(Semaphore::new(self.flow.concurrency as usize));
        }
    }

    /// Waits for permits: at least one, at most `batch`. `None` if the dispatcher stops.
    async fn acquire_permits(&self) -> Option<OwnedSemaphorePermit> {
        let first = tokio::select! {
            first = Arc::clone(&self.flow.in_flight).acquire_owned() => first.ok()?,
            () = self.shared.stopped() => return None,
        };
        let mut permits = first;
        let more = self.flow.in_flight.available_permits().min(self.shared.options.batch - 1);
        if let Ok(more) = Arc::clone(&self.flow.in_flight).try_acquire_many_owned(more as u32) {
            permits.merge(more);
        }
        Some(permits)
    }

    /// Takes up to `most` jobs: due retries first, but at most half if new deliveries wait.
    async fn take_jobs(&mut self, most: usize) -> Result<Vec<Job>, Stopped> {
        let mut jobs = Vec::new();
        if Instant::now() >= self.next_poll {
            let share = if self.queue.is_empty() { most } else { most.div_ceil(2) };
            jobs = self.take_due_retries(share).await?;
            if jobs.len() < share {
                self.queue.caught_up();
                self.next_poll = Instant::now() + Duration::from_millis(self.shared.options.poll_ms);
            }
        }
        jobs.extend(self.queue.take(most - jobs.len()));
        Ok(jobs)
    }

    async fn take_due_retries(&self, most: usize) -> Result<Vec<Job>, Stopped> {
        // Read before the retries are taken, so that a rebalance in between makes these jobs outdated.
        let generation = self.shared.offsets.generation();
        let now = self.shared.clock.now();
        let until = self.shared.options.lease_until(now, self.timeout_ms());
        let retries = &self.shared.stores.retries;
        let taken = self.shared.call_store(true, || retries.take(&self.name, now, until, most)).await?;
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
            () = tokio::time::sleep_until(self.next_poll) => {}
            () = self.shared.stopped() => {}
        }
    }

    /// Assigns one permit to each job.
    fn assign_permits(&self, jobs: Vec<Job>, mut permits: OwnedSemaphorePermit) -> Vec<JobWithPermit> {
        self.metrics.in_flight.inc_by(jobs.len() as i64);
        jobs.into_iter()
            .map(|job| (job, permits.split(1).expect("at most one job per permit was taken")))
            .collect()
    }

    /// Re-checks, claims and renders jobs, and starts their attempts.
    async fn prepare(
        &self,
        jobs: Vec<JobWithPermit>,
        channel: Option<Arc<dyn Channel>>,
    ) -> Result<(), Stopped> {
        let Some(channel) = channel else {
            self.plugin_missing(jobs);
            return Ok(());
        };
        let (jobs, permits): (Vec<_>, Vec<_>) = jobs.into_iter().unzip();
        let mut permits = permits.into_iter();
        let mut with_permit = |job: Job| (job, permits.next().expect("every job has a permit"));
        let (jobs, obsolete) = recheck::split_obsolete(&self.shared, jobs).await;
        for job in obsolete {
            self.report(with_permit(job), Outcome::Obsolete);
        }
        let jobs = self.claim(jobs.into_iter().map(with_permit).collect(), channel.name()).await?;
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
    fn plugin_missing(&self, jobs: Vec<JobWithPermit>) {
        let now = self.shared.clock.now();
        for job in jobs {
            let reason = format!("no plugin {} is loaded", self.name);
            let outcome = failed(&self.shared.options, &job.0, reason, None, &self.name, now);
            self.report(job, outcome);
        }
    }

    /// Leases the jobs and returns those that were leased. The others get their outcome here: deferred
    /// until another lease ends, or delivered before.
    async fn claim(&self, jobs: Vec<JobWithPermit>, plugin: &str) -> Result<Vec<JobWithPermit>, Stopped> {
        let now = self.shared.clock.now();
        let until = self.shared.options.lease_until(now, self.timeout_ms());
        let mut seen = HashSet::new();
        let (jobs, duplicates): (Vec<_>, Vec<_>) =
            jobs.into_iter().partition(|(job, _)| seen.insert(job.key.clone()));
        for duplicate in duplicates {
            self.wait_for_lease(duplicate, until, plugin, now);
        }
        let keys: Vec<_> = jobs.iter().map(|(job, _)| job.key.clone()).collect();
        let leases = &self.shared.stores.leases;
        let claims = self.shared.call_store(!keys.is_empty(), || leases.claim(&keys, now, until)).await?;
        let mut leased = Vec::with_capacity(jobs.len());
        for (mut job, claim) in jobs.into_iter().zip(claims) {
            match claim {
                Claim::Yours => {
                    job.0.lease = Some(until);
                    leased.push(job);
                }
                Claim::Leased(until) => self.wait_for_lease(job, until, plugin, now),
                Claim::Delivered => self.report(job, Outcome::DeliveredBefore),
            }
        }
        Ok(leased)
    }

    /// Defers a job until the lease of another worker ends. That worker may be dead, so the delivery
    /// must not count as done.
    fn wait_for_lease(&self, job: JobWithPermit, until: WallTime, plugin: &str, now: WallTime) {
        let reason = "another worker holds the lease".to_owned();
        let outcome = defer(&self.shared.options, &job.0, until, reason, plugin, now);
        self.report(job, outcome);
    }

    /// Starts the attempt of a job that was rendered; one that was refused becomes a dead letter.
    fn start(
        &self,
        (job, permit): JobWithPermit,
        message: Message,
        answer: Rendered,
        channel: &Arc<dyn Channel>,
    ) {
        let dead = |reason| Outcome::Dead { reason, plugin: channel.name().to_owned() };
        let (outgoing, is_fallback) = match answer {
            Ok(Ok(outgoing)) => (outgoing, false),
            Ok(Err(RenderError::Permanent(reason))) => return self.report((job, permit), dead(reason)),
            Ok(Err(RenderError::BadRecipient(reason))) => {
                self.metrics.bad_recipients.inc();
                return self.report((job, permit), dead(format!("bad recipient: {reason}")));
            }
            Err(error) => match self.fall_back(&job, &message, error, channel) {
                Ok(outgoing) => (outgoing, true),
                Err(outcome) => return self.report((job, permit), outcome),
            },
        };
        let attempt = Attempt {
            context: self.context.clone(),
            channel: Arc::clone(channel),
            message: Arc::new(message),
            is_fallback,
            job,
            outgoing,
            permit,
        };
        tokio::spawn(attempt.run());
    }

    /// Returns the fallback message if the plugin failed; if there is none, the outcome of a failed attempt.
    fn fall_back(
        &self,
        job: &Job,
        message: &Message,
        error: plugin::Error,
        channel: &Arc<dyn Channel>,
    ) -> Result<Outgoing, Outcome> {
        self.metrics.plugin_failures.inc();
        tracing::warn!(%error, key = job.key, "the plugin did not render the message; the fallback message of the host is sent");
        fallback(message, channel.access()).ok_or_else(|| {
            let now = self.shared.clock.now();
            failed(&self.shared.options, job, error.to_string(), None, channel.name(), now)
        })
    }

    fn report(&self, (job, permit): JobWithPermit, outcome: Outcome) {
        self.context.outcomes.send(FinishedJob { job, outcome, permit: Some(permit) });
    }
}
