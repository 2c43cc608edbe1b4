//! One delivery on its way through the dispatcher, and how it ends.

use std::sync::Arc;

use pricedrop_model::dispatch::{Item, Message, Reason, Recipient, Retry};
use pricedrop_model::{Currency, Notification, Partition, WallTime, time};
use tokio::sync::OwnedSemaphorePermit;

use super::key::{Keys, collapse_key, notification_name};
use super::money::money;
use super::options::{REASON_BYTES, later};
use super::window::Place;

/// One notification for one address.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) key: String,
    pub(super) to: Recipient,
    pub(super) notification: Arc<Notification>,
    /// The attempt this is, from 1.
    pub(super) attempt: u32,
    pub(super) since: WallTime,
    /// The partition of its notification, whose owner delivers it.
    pub(super) partition: Partition,
    /// The window's, when it was taken up.
    pub(super) generation: u64,
    pub(super) origin: Origin,
    /// Where our lease on it ends, once we have one.
    pub(super) lease: Option<WallTime>,
}

/// Where a job came from, and so what must be told of its end.
#[derive(Debug)]
pub(super) enum Origin {
    /// This place in the log.
    Log(Place),
    /// The retry queue, with the entry's due time and reason.
    Queue(WallTime, String),
}

impl Job {
    pub(super) fn first(
        keys: &Keys,
        notification: &Arc<Notification>,
        to: Recipient,
        place: Place,
        now: WallTime,
    ) -> Job {
        Job {
            key: keys.delivery(notification, &to.channel, &to.address),
            to,
            notification: Arc::clone(notification),
            attempt: 1,
            since: now,
            partition: place.position.partition,
            generation: place.generation,
            origin: Origin::Log(place),
            lease: None,
        }
    }

    /// An entry of the queue.
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

    /// The entry as it lies in the queue.
    pub(super) fn queued(&self) -> Option<Retry> {
        match &self.origin {
            Origin::Log(_) => None,
            Origin::Queue(due, reason) => Some(self.retry(*due, self.attempt, reason)),
        }
    }

    /// An entry for another attempt.
    pub(super) fn retry(&self, due: WallTime, attempt: u32, reason: &str) -> Retry {
        Retry {
            partition: self.partition,
            key: self.key.clone(),
            due,
            attempt,
            since: self.since,
            to: self.to.clone(),
            notification: Notification::clone(&self.notification),
            reason: cut(reason),
        }
    }

    /// The message that its channel is to render. It is of no use once the delivery
    /// would be given up.
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
            new_price: money(notification.new_price, currency, locale),
            watch_price: notification.watch_price.map(|price| money(price, currency, locale)),
            previous_price: notification.previous_price.map(|price| money(price, currency, locale)),
            occurred_ms: notification.occurred_at.as_deref().and_then(time::parse_millis),
            attributes: [attribute("title", &notification.title), attribute("url", &notification.url)]
                .into_iter()
                .flatten()
                .collect(),
        }
    }
}

/// How a job ended, for now.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It arrived.
    Delivered,
    /// It had arrived before.
    DeliveredBefore,
    /// The price has risen again.
    Risen,
    /// It failed, or has to wait: this entry goes to the retry queue.
    Retry { due: WallTime, attempt: u32, reason: String },
    /// It failed for good.
    Dead { reason: String, plugin: String },
    /// The engine stops: as if it had not been taken.
    Abandoned,
}

/// A job with its outcome, on its way to the stores.
pub(super) struct Settled {
    pub(super) job: Job,
    pub(super) outcome: Outcome,
    /// Given back when the outcome is durable.
    pub(super) permit: Option<OwnedSemaphorePermit>,
}

fn cut(reason: &str) -> String {
    reason[..reason.floor_char_boundary(REASON_BYTES)].to_owned()
}
