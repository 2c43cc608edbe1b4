//! A delivery inside the dispatcher (`Job`), its conversions to a retry and a message, and its
//! outcome.

use std::sync::Arc;

use pricedrop_model::dispatch::{Item, Message, Reason, Recipient, Retry};
use pricedrop_model::{Currency, Notification, Partition, WallTime, time};
use tokio::sync::OwnedSemaphorePermit;

use super::key::{Keys, collapse_key, notification_name};
use super::offset_tracker::TrackedPosition;
use super::options::{REASON_BYTES, later};
use super::price_format::format_price;

/// A delivery: one notification for one address.
#[derive(Debug)]
pub(super) struct Job {
    /// The delivery's key.
    pub(super) key: String,
    pub(super) to: Recipient,
    pub(super) notification: Arc<Notification>,
    /// The number of this attempt, from 1.
    pub(super) attempt: u32,
    /// When the delivery was first read.
    pub(super) since: WallTime,
    /// The partition of its notification. The partition's owner delivers it.
    pub(super) partition: Partition,
    /// The generation of the offset tracker when the job was read.
    pub(super) generation: u64,
    pub(super) origin: Origin,
    /// When this worker's lease on it ends; `None` before it is claimed.
    pub(super) lease: Option<WallTime>,
}

/// Where a job was read from. This decides what is updated when it ends.
#[derive(Debug)]
pub(super) enum Origin {
    /// The log; its notification has to be marked finished.
    Log(TrackedPosition),
    /// The retry queue, with the entry's due time and reason; the entry has to be removed.
    Queue(WallTime, String),
}

impl Job {
    /// A delivery of a notification that was just read from the log.
    pub(super) fn first(
        keys: &Keys,
        notification: &Arc<Notification>,
        to: Recipient,
        tracked: TrackedPosition,
        now: WallTime,
    ) -> Job {
        Job {
            key: keys.delivery(notification, &to.channel, &to.address),
            to,
            notification: Arc::clone(notification),
            attempt: 1,
            since: now,
            partition: tracked.position.partition,
            generation: tracked.generation,
            origin: Origin::Log(tracked),
            lease: None,
        }
    }

    /// A delivery that was taken from the retry queue.
    pub(super) fn again(retry: Retry, generation: u64) -> Job {
        Job {
            key: retry.key,
            to: retry.to,
            notification: Arc::new(retry.notification),
            attempt: retry.attempt,
            since: retry.since,
            partition: retry.partition,
            generation,
            origin: Origin::Queue(retry.due, retry.reason),
            lease: None,
        }
    }

    /// Returns the entry as it is in the retry queue; `None` for a job from the log.
    pub(super) fn queued(&self) -> Option<Retry> {
        match &self.origin {
            Origin::Log(_) => None,
            Origin::Queue(due, reason) => Some(self.retry(*due, self.attempt, reason)),
        }
    }

    /// Returns an entry of the retry queue for this delivery.
    pub(super) fn retry(&self, due: WallTime, attempt: u32, reason: &str) -> Retry {
        Retry {
            partition: self.partition,
            key: self.key.clone(),
            due,
            attempt,
            since: self.since,
            to: self.to.clone(),
            notification: Notification::clone(&self.notification),
            reason: truncate(reason),
        }
    }

    /// Returns the message for the channel plugin to render. It expires when the delivery would be
    /// given up.
    pub(super) fn message(&self, currency: Currency, now: WallTime, max_age_ms: u64) -> Message {
        Message {
            key: self.key.clone(),
            attempt: self.attempt,
            reason: Reason::PriceDrop,
            items: vec![self.item(currency)],
            to: self.to.clone(),
            unsubscribe_url: None,
            callback_url: None,
            collapse_key: Some(collapse_key(&self.notification.product_id)),
            expires_ms: Some(later(self.since, max_age_ms).0),
            sent_ms: now.0,
            attributes: Vec::new(),
        }
    }

    fn item(&self, currency: Currency) -> Item {
        let notification = &*self.notification;
        let currency = notification.currency.unwrap_or(currency);
        let locale = self.to.locale.as_deref();
        let attribute =
            |name: &str, value: &Option<String>| value.clone().map(|value| (name.to_owned(), value));
        Item {
            notification: notification_name(notification),
            product: notification.product_id.as_str().to_owned(),
            new_price: format_price(notification.new_price, currency, locale),
            watch_price: notification.watch_price.map(|price| format_price(price, currency, locale)),
            previous_price: notification.previous_price.map(|price| format_price(price, currency, locale)),
            occurred_ms: notification.occurred_at.as_deref().and_then(time::parse_millis),
            attributes: [attribute("title", &notification.title), attribute("url", &notification.url)]
                .into_iter()
                .flatten()
                .collect(),
        }
    }
}

/// How an attempt of a job ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The provider accepted it.
    Delivered,
    /// It was confirmed by an earlier attempt, so nothing was sent.
    DeliveredBefore,
    /// The price rose above the watch before a delayed send, so nothing was sent.
    Obsolete,
    /// It failed or has to wait: it goes to the retry queue, due at this time.
    Retry { due: WallTime, attempt: u32, reason: String },
    /// It failed permanently: it becomes a dead letter.
    Dead { reason: String, plugin: String },
    /// The engine stops before it was sent: its state is as if it had not been read.
    Abandoned,
}

/// A job with its outcome, to be stored.
pub(super) struct FinishedJob {
    pub(super) job: Job,
    pub(super) outcome: Outcome,
    /// Its permit of the channel, released when the outcome is durable.
    pub(super) permit: Option<OwnedSemaphorePermit>,
}

/// The first [`REASON_BYTES`] bytes, cut at a character.
fn truncate(reason: &str) -> String {
    reason[..reason.floor_char_boundary(REASON_BYTES)].to_owned()
}
