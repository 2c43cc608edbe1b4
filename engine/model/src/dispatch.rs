//! The types and ports of the dispatcher: deliveries, their leases, retries and dead letters.
//!
//! ```text
//! NotificationLog ──▶ Recipients ──▶ Leases.claim ──▶ Channel.render ──▶ Sender
//!                                          ▲                                │ reply
//!    RetryQueue.take ──due─────────────────┘                                ▼
//!                                                                   Channel.classify
//!           Leases.confirm, RetryQueue.put or DeadLetters.add ◀─────────────┘
//! ```

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::ports::Error;
use crate::{Currency, Notification, Partition, Position, UserId, WallTime};

pub use crate::channel::*;
pub use crate::dead_letter_id::{DeadLetterId, DeadLetterIdError};

/// The port for reading `user_notifications`.
#[async_trait]
pub trait NotificationLog: Send {
    /// Returns the next notifications with their positions, or none if `wait_ms` milliseconds
    /// passed without any.
    ///
    /// # Errors
    /// The log is unavailable; try again. Or partitions were assigned or revoked: forget all
    /// notifications that are not finished. Their present owner reads them again.
    async fn next_batch(&mut self, most: usize, wait_ms: u64)
    -> Result<Vec<(Position, Notification)>, Error>;

    /// Commits the next offset of each partition. Every notification below it is finished:
    /// confirmed, durably queued for a retry, or a dead letter. Partitions that were revoked
    /// meanwhile are ignored.
    ///
    /// # Errors
    /// The outcome is unknown; committing again is safe.
    async fn commit(&mut self, next: &[(Partition, i64)]) -> Result<(), Error>;
}

/// The port for inspecting the log of notifications. Reading does not affect the dispatcher.
#[async_trait]
pub trait NotificationReader: Send + Sync {
    /// Reads at most `most` notifications of a partition, from offset `from`. Returns them as JSON
    /// lines, and the offset to continue from.
    ///
    /// # Errors
    /// The store is unavailable; try again.
    async fn read(&self, partition: Partition, from: i64, most: usize) -> Result<(Vec<u8>, i64), Error>;

    /// Returns the number of partitions. Each has its own offsets.
    ///
    /// # Errors
    /// The store is unavailable; try again.
    async fn partitions(&self) -> Result<usize, Error>;
}

/// The port for the addresses of users.
#[async_trait]
pub trait Recipients: Send + Sync {
    /// Returns the addresses of each of these users, in the order of `users`.
    ///
    /// # Errors
    /// The store is unavailable; try again.
    async fn of(&self, users: &[UserId]) -> Result<Vec<Vec<Recipient>>, Error>;

    /// Writes addresses. User, channel and address are the key.
    ///
    /// # Errors
    /// The outcome is unknown; writing again is safe.
    async fn put(&self, recipients: Vec<Recipient>) -> Result<(), Error>;

    /// Deletes an address. Returns whether it existed.
    ///
    /// # Errors
    /// The outcome is unknown; deleting again is safe.
    async fn delete(&self, user: &UserId, channel: &str, address: &str) -> Result<bool, Error>;

    /// Returns at most `most` addresses after `after`, ordered by user, channel and address.
    ///
    /// # Errors
    /// The store is unavailable; try again.
    async fn list(&self, after: Option<&Recipient>, most: usize) -> Result<Vec<Recipient>, Error>;
}

/// The answer to a claim: whether the delivery may be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// The caller holds the lease until its end.
    Yours,
    /// Another worker holds the lease until this time. That worker may have crashed.
    Leased(WallTime),
    /// The delivery was confirmed.
    Delivered,
}

/// Leases and confirmations by delivery key. Invariant: a lease is durable before its request is
/// sent, and a confirmation is kept longer than any retry of its delivery can wait.
#[async_trait]
pub trait Leases: Send + Sync {
    /// Claims leases that end at `until`. Returns one answer per key, in order.
    ///
    /// # Errors
    /// The outcome is unknown; do not send.
    async fn claim(&self, keys: &[String], now: WallTime, until: WallTime) -> Result<Vec<Claim>, Error>;

    /// Records that these were delivered.
    ///
    /// # Errors
    /// The outcome is unknown; confirming again is safe.
    async fn confirm(&self, keys: &[String], now: WallTime) -> Result<(), Error>;

    /// Ends the leases of failed deliveries, so that they can be claimed again at once.
    ///
    /// # Errors
    /// The outcome is unknown; the leases expire by themselves.
    async fn release(&self, keys: &[String]) -> Result<(), Error>;
}

/// A delivery that waits for its next attempt, with everything the attempt needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// The delivery's key.
    pub key: String,
    /// The partition of its notification. The owner of that partition makes the attempt.
    #[serde(default)]
    pub partition: Partition,
    /// When the next attempt is due.
    pub due: WallTime,
    /// The number of the next attempt; the first attempt of a delivery is 1.
    pub attempt: u32,
    /// When the first attempt was made.
    pub since: WallTime,
    /// The recipient.
    pub to: Recipient,
    /// The notification.
    pub notification: Notification,
    /// Why the last attempt failed.
    pub reason: String,
}

/// The queue of deliveries that wait for their next attempt, by channel.
#[async_trait]
pub trait RetryQueue: Send + Sync {
    /// Adds entries durably, or changes those with the same key.
    ///
    /// # Errors
    /// The outcome is unknown; putting again is safe.
    async fn put(&self, retries: Vec<Retry>) -> Result<(), Error>;

    /// Returns entries of a channel that are due at `now`, the longest due first. It postpones them
    /// to `until` and does not remove them, so a crashed worker loses none.
    ///
    /// # Errors
    /// The store is unavailable; try again.
    async fn take(
        &self,
        channel: &str,
        now: WallTime,
        until: WallTime,
        most: usize,
    ) -> Result<Vec<Retry>, Error>;

    /// Removes entries whose deliveries are confirmed or dead letters.
    ///
    /// # Errors
    /// The outcome is unknown; removing again is safe.
    async fn remove(&self, retries: &[Retry]) -> Result<(), Error>;

    /// Returns the number of entries by channel.
    ///
    /// # Errors
    /// The store is unavailable; try again.
    async fn waiting(&self) -> Result<Vec<(String, u64)>, Error>;
}

/// A record or a delivery that is not tried again automatically, as stored in a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// Its id, assigned by the log.
    pub id: DeadLetterId,
    /// When it became a dead letter.
    pub at: WallTime,
    /// Why, in words.
    pub reason: String,
    /// The record or delivery.
    pub what: DeadWhat,
}

/// A dead letter without an id, because no log contains it yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewDeadLetter {
    /// When it became a dead letter.
    pub at: WallTime,
    /// Why, in words.
    pub reason: String,
    /// The record or delivery.
    pub what: DeadWhat,
}

impl NewDeadLetter {
    /// Returns the dead letter with the `id` that the log assigned.
    pub fn with_id(self, id: DeadLetterId) -> DeadLetter {
        let NewDeadLetter { at, reason, what } = self;
        DeadLetter { id, at, reason, what }
    }
}

/// The content of a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeadWhat {
    /// A record of the input that is not an update.
    #[serde(rename_all = "camelCase")]
    Update {
        /// Its partition in the input.
        partition: i32,
        /// Its offset in the input.
        offset: i64,
        /// Its key as text, invalid UTF-8 replaced.
        key: Option<String>,
        /// Its value as text, invalid UTF-8 replaced, truncated at a limit.
        value: Option<String>,
        /// The length of the value in bytes, if it was truncated.
        truncated: Option<u64>,
    },
    /// A record of the log of notifications that is not a notification.
    #[serde(rename_all = "camelCase")]
    Notification {
        /// Its partition in the log of notifications.
        partition: i32,
        /// Its offset in the log of notifications.
        offset: i64,
        /// Its key as text, invalid UTF-8 replaced.
        key: Option<String>,
        /// Its value as text, invalid UTF-8 replaced, truncated at a limit.
        value: Option<String>,
        /// The length of the value in bytes, if it was truncated.
        truncated: Option<u64>,
    },
    /// A delivery that failed permanently, or too often.
    #[serde(rename_all = "camelCase")]
    Delivery {
        /// The delivery, with everything a new attempt needs.
        retry: Box<Retry>,
        /// The channel plugin, as `id@version`.
        plugin: String,
    },
}

/// The log of dead letters.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// Adds dead letters durably, and assigns ids in ascending order.
    ///
    /// # Errors
    /// The outcome is unknown; adding again may list a dead letter twice.
    async fn add(&self, letters: Vec<NewDeadLetter>) -> Result<(), Error>;

    /// Returns the first `most` dead letters with ids greater than `after`, in the order of ids.
    ///
    /// # Errors
    /// The store is unavailable; try again.
    async fn list(&self, after: Option<&DeadLetterId>, most: usize) -> Result<Vec<DeadLetter>, Error>;

    /// Returns one dead letter; none if the id was never assigned, or the dead letter was removed.
    ///
    /// # Errors
    /// The store is unavailable; try again.
    async fn get(&self, id: &DeadLetterId) -> Result<Option<DeadLetter>, Error>;

    /// Removes a dead letter after a replay. Its id is not used again.
    ///
    /// # Errors
    /// The outcome is unknown; removing again is safe.
    async fn remove(&self, id: &DeadLetterId) -> Result<(), Error>;
}

/// The port for the current price of a product, read by re-checks and by the API.
#[async_trait]
pub trait CurrentPrices: Send + Sync {
    /// Returns the last evaluated price, when it was evaluated, and the floor.
    ///
    /// # Errors
    /// The store is unavailable; try again.
    async fn of(
        &self,
        product: &crate::ProductId,
        currency: Currency,
    ) -> Result<Option<(crate::Evaluated, crate::Floor)>, Error>;
}
