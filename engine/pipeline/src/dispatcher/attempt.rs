//! One attempt of a delivery: sends the request, classifies the reply, and sends up to
//! [`FOLLOW_UPS`] further requests if the plugin asks for them.

use std::sync::Arc;
use std::time::Duration;

use pricedrop_model::dispatch::{Channel, Classification, Message, Outgoing, Reply, SendError, SendRequest};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::backoff::{defer, failed, spread_ms};
use super::breaker::{self, Admission};
use super::classification::standard;
use super::classifier::Classifier;
use super::job::{FinishedJob, Job, Outcome};
use super::key::idempotency_key;
use super::metrics::ChannelMetrics;
use super::options::{FOLLOW_UPS, later};
use super::rate::Rate;
use super::shared::{Outcomes, Shared};

/// What all attempts of one channel share.
#[derive(Clone)]
pub(super) struct AttemptContext {
    pub(super) shared: Arc<Shared>,
    pub(super) metrics: Arc<ChannelMetrics>,
    pub(super) classifier: Classifier,
    pub(super) outcomes: Outcomes,
    /// One permit for each request that may be in flight.
    pub(super) sending: Arc<Semaphore>,
    pub(super) rate: Arc<Rate>,
}

/// A delivery that is claimed and rendered.
pub(super) struct Attempt {
    pub(super) context: AttemptContext,
    pub(super) channel: Arc<dyn Channel>,
    pub(super) job: Job,
    pub(super) message: Arc<Message>,
    pub(super) outgoing: Outgoing,
    /// Whether `outgoing` is the host's fallback message. Its reply is classified by the standard
    /// table, not by the plugin.
    pub(super) is_fallback: bool,
    pub(super) permit: OwnedSemaphorePermit,
}

impl Attempt {
    /// Runs the attempt and sends its outcome to the task that stores outcomes.
    pub(super) async fn run(mut self) {
        let sending = Arc::clone(&self.context.sending);
        let outcome = match sending.acquire().await {
            Ok(_permit) => self.send_and_classify().await,
            Err(_) => Outcome::Abandoned,
        };
        self.context.outcomes.send(FinishedJob { job: self.job, outcome, permit: Some(self.permit) });
    }

    async fn send_and_classify(&mut self) -> Outcome {
        for step in 0..=FOLLOW_UPS {
            let reply = match self.send(step).await {
                Ok(reply) => reply,
                Err(outcome) => return outcome,
            };
            let now = self.context.shared.clock.now();
            let classification = match self.is_fallback {
                true => standard(&reply, now),
                false => {
                    let classifier = &self.context.classifier;
                    classifier.classify(&self.channel, &self.message, reply, step, now).await
                }
            };
            match self.outcome(classification) {
                Ok(outcome) => return outcome,
                Err(follow_up) => self.outgoing = *follow_up,
            }
        }
        self.dead(format!("the plugin requested more than {FOLLOW_UPS} follow-ups"))
    }

    /// Sends one request, if the rate limit, the lease and the breaker allow it. Otherwise returns
    /// the outcome that defers the delivery.
    async fn send(&self, step: u32) -> Result<Reply, Outcome> {
        let shared = &self.context.shared;
        self.wait_for_rate().await?;
        let access = self.channel.access();
        let timeout_ms = access.timeout_ms.unwrap_or(shared.options.timeout_ms);
        let now = shared.clock.now();
        if self.job.lease.is_none_or(|until| later(now, timeout_ms) > until) {
            return Err(self.defer(now, "the rest of the lease is shorter than the timeout of the request"));
        }
        let provider = breaker::provider(&self.job.to.channel, access, &self.outgoing);
        if let Admission::Wait(until) = shared.breakers.admit(&provider, now) {
            let spread = spread_ms(Duration::from_millis(shared.options.backoff_initial_ms));
            return Err(
                self.defer(later(until, spread), &format!("the circuit breaker of {provider} is open"))
            );
        }
        let request = SendRequest {
            channel: &self.job.to.channel,
            access,
            to: &self.job.to,
            outgoing: &self.outgoing,
            idempotency_key: &idempotency_key(&self.job.key, step),
            unsubscribe_url: self.message.unsubscribe_url.as_deref(),
            timeout_ms,
        };
        let began = Instant::now();
        let sent = shared.sender.send(request).await;
        self.context.metrics.attempt_seconds.observe(began.elapsed().as_secs_f64());
        match &sent {
            Ok(reply) => shared.breakers.record(&provider, breaker::failure(reply), shared.clock.now()),
            Err(_) => shared.breakers.record_not_sent(&provider, shared.clock.now()),
        }
        sent.map_err(|error| match error {
            SendError::Refused(reason) => self.dead(reason),
            SendError::BadRecipient(reason) => self.bad_recipient(reason),
        })
    }

    async fn wait_for_rate(&self) -> Result<(), Outcome> {
        let shared = &self.context.shared;
        if let Some(per_second) = self.channel.access().rate_per_second {
            let start = self.context.rate.reserve(per_second, Instant::now());
            tokio::select! {
                () = tokio::time::sleep_until(start) => {}
                () = shared.stopped() => {}
            }
        }
        if shared.stopping() { Err(Outcome::Abandoned) } else { Ok(()) }
    }

    /// Returns the outcome of a classification, or as `Err` the follow-up request that it asks for.
    fn outcome(&self, classification: Classification) -> Result<Outcome, Box<Outgoing>> {
        let shared = &self.context.shared;
        Ok(match classification {
            Classification::Delivered(_) => Outcome::Delivered,
            Classification::Temporary { reason, retry_after_ms, .. } => {
                let (job, plugin, now) = (&self.job, self.channel.name(), shared.clock.now());
                failed(&shared.options, job, reason, retry_after_ms, plugin, now)
            }
            Classification::Permanent(reason) => self.dead(reason),
            Classification::BadRecipient { reason, .. } => self.bad_recipient(reason),
            Classification::FollowUp(outgoing) => return Err(Box::new(outgoing)),
            Classification::Standard => {
                self.dead("the plugin returned `standard` for a reply of the standard table".into())
            }
        })
    }

    fn defer(&self, due: pricedrop_model::WallTime, reason: &str) -> Outcome {
        let shared = &self.context.shared;
        let now = shared.clock.now();
        defer(&shared.options, &self.job, due, reason.to_owned(), self.channel.name(), now)
    }

    fn dead(&self, reason: String) -> Outcome {
        Outcome::Dead { reason, plugin: self.channel.name().to_owned() }
    }

    fn bad_recipient(&self, reason: String) -> Outcome {
        self.context.metrics.bad_recipients.inc();
        self.dead(format!("bad recipient: {reason}"))
    }
}
