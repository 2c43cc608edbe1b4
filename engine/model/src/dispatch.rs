//! The words and ports of the dispatcher: deliveries, channels, and the state
//! that makes each delivery happen once.
//!
//! ```text
//! NotificationLog ──▶ Recipients ──▶ Leases.claim ──▶ Channel.render ──▶ Sender
//!                                        ▲                                  │
//!                     RetryQueue ◀───────┴── confirm ◀─ Channel.classify ◀─────┘
//! ```

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::ports::Error;
use crate::{Currency, Notification, Partition, Position, UserId, WallTime};

pub use crate::channel::*;
pub use crate::dead_letter_id::{DeadLetterId, DeadLetterIdError};

/// `user_notifications` as the dispatcher reads it.
#[async_trait]
pub trait NotificationLog: Send {
    /// The next notifications with their offsets: none when `wait_ms` passed
    /// without any.
    ///
    /// # Errors
    /// The log is away; try again. Or partitions came or went: forget what is
    /// not finished; it is handed out again, by this log or by somebody else's.
    async fn next_batch(&mut self, most: usize, wait_ms: u64)
    -> Result<Vec<(Position, Notification)>, Error>;

    /// Every notification below these offsets is confirmed, safely queued, or
    /// dead. Partitions that went away meanwhile are passed over.
    ///
    /// # Errors
    /// Nothing is promised; committing again is safe.
    async fn commit(&mut self, next: &[(Partition, i64)]) -> Result<(), Error>;
}

/// The log of notifications, to look into; nothing is taken from a dispatcher.
#[async_trait]
pub trait NotificationReader: Send + Sync {
    /// Notifications of a partition as JSON lines from this offset on, at most so many;
    /// and the offset to continue from.
    ///
    /// # Errors
    /// The store is away; try again.
    async fn read(&self, partition: Partition, from: i64, most: usize) -> Result<(Vec<u8>, i64), Error>;

    /// How many partitions there are; each has offsets of its own.
    ///
    /// # Errors
    /// The store is away; try again.
    async fn partitions(&self) -> Result<usize, Error>;
}

/// Where users can be reached.
#[async_trait]
pub trait Recipients: Send + Sync {
    /// The addresses of each of these users, in their order.
    ///
    /// # Errors
    /// The store is away; try again.
    async fn of(&self, users: &[UserId]) -> Result<Vec<Vec<Recipient>>, Error>;

    /// Writes addresses; one per user, channel and address.
    ///
    /// # Errors
    /// Nothing is promised; writing again is safe.
    async fn put(&self, recipients: Vec<Recipient>) -> Result<(), Error>;

    /// Deletes an address; whether there was one.
    ///
    /// # Errors
    /// Nothing is promised; deleting again is safe.
    async fn delete(&self, user: &UserId, channel: &str, address: &str) -> Result<bool, Error>;

    /// A page in order of user, channel, address, behind `after`.
    ///
    /// # Errors
    /// The store is away; try again.
    async fn list(&self, after: Option<&Recipient>, most: usize) -> Result<Vec<Recipient>, Error>;
}

/// Whether a delivery may be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// It is yours until the lease ends.
    Yours,
    /// Somebody's, perhaps a dead one's, until then.
    Leased(WallTime),
    /// It was delivered.
    Delivered,
}

/// Leases and confirmations by delivery key. A claim is durable before its
/// request is sent; a confirmation outlives the longest retry.
#[async_trait]
pub trait Leases: Send + Sync {
    /// Claims deliveries until `until`.
    ///
    /// # Errors
    /// Nothing is promised; do not send.
    async fn claim(&self, keys: &[String], now: WallTime, until: WallTime) -> Result<Vec<Claim>, Error>;

    /// These were delivered.
    ///
    /// # Errors
    /// Nothing is promised; confirming again is safe.
    async fn confirm(&self, keys: &[String], now: WallTime) -> Result<(), Error>;

    /// These failed and may be claimed again at once.
    ///
    /// # Errors
    /// Nothing is promised; the lease ends by itself.
    async fn release(&self, keys: &[String]) -> Result<(), Error>;
}

/// A delivery to be tried again: all that is needed to do so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// The delivery's key.
    pub key: String,
    /// The partition its notification came from, whose owner tries again.
    #[serde(default)]
    pub partition: Partition,
    /// When.
    pub due: WallTime,
    /// The attempt that will be, from 1.
    pub attempt: u32,
    /// When it was first tried.
    pub since: WallTime,
    /// The addressee.
    pub to: Recipient,
    /// The notification.
    pub notification: Notification,
    /// What went wrong last.
    pub reason: String,
}

/// Deliveries waiting for their next attempt, by channel.
#[async_trait]
pub trait RetryQueue: Send + Sync {
    /// Adds or moves entries, durably.
    ///
    /// # Errors
    /// Nothing is promised; putting again is safe.
    async fn put(&self, retries: Vec<Retry>) -> Result<(), Error>;

    /// Entries of a channel due by now, the longest due first. An entry taken
    /// moves to `until` and stays until removed, so a worker that dies loses
    /// nothing.
    ///
    /// # Errors
    /// The store is away; try again.
    async fn take(
        &self,
        channel: &str,
        now: WallTime,
        until: WallTime,
        most: usize,
    ) -> Result<Vec<Retry>, Error>;

    /// Removes entries that are confirmed or dead.
    ///
    /// # Errors
    /// Nothing is promised; removing again is safe.
    async fn remove(&self, retries: &[Retry]) -> Result<(), Error>;

    /// How many wait, by channel.
    ///
    /// # Errors
    /// The store is away; try again.
    async fn waiting(&self) -> Result<Vec<(String, u64)>, Error>;
}

/// A record or a delivery that is not tried again by itself, as a log keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// Its id. The log gives it.
    pub id: DeadLetterId,
    /// When it died.
    pub at: WallTime,
    /// Why, in words.
    pub reason: String,
    /// What it was.
    pub what: DeadWhat,
}

/// A dead letter that no log has given an id yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewDeadLetter {
    /// When it died.
    pub at: WallTime,
    /// Why, in words.
    pub reason: String,
    /// What it was.
    pub what: DeadWhat,
}

impl NewDeadLetter {
    /// The dead letter that this is once a log keeps it under `id`.
    pub fn with_id(self, id: DeadLetterId) -> DeadLetter {
        let NewDeadLetter { at, reason, what } = self;
        DeadLetter { id, at, reason, what }
    }
}

/// What died.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeadWhat {
    /// A record of the input that was no update.
    #[serde(rename_all = "camelCase")]
    Update {
        /// Its partition in the input.
        partition: i32,
        /// Its offset in the input.
        offset: i64,
        /// Its key as text, invalid UTF-8 replaced.
        key: Option<String>,
        /// Its value as text, invalid UTF-8 replaced, cut at a limit.
        value: Option<String>,
        /// Its full length in bytes, when it was cut.
        truncated: Option<u64>,
    },
    /// A record of the notifications that was none.
    #[serde(rename_all = "camelCase")]
    Notification {
        /// Its partition among the notifications.
        partition: i32,
        /// Its offset among the notifications.
        offset: i64,
        /// Its key as text, invalid UTF-8 replaced.
        key: Option<String>,
        /// Its value as text, invalid UTF-8 replaced, cut at a limit.
        value: Option<String>,
        /// Its full length in bytes, when it was cut.
        truncated: Option<u64>,
    },
    /// A delivery that failed for good.
    #[serde(rename_all = "camelCase")]
    Delivery {
        /// All that is needed to try again.
        retry: Box<Retry>,
        /// The plugin, `id@version`.
        plugin: String,
    },
}

/// The log of dead letters.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// Adds dead letters, durably, and gives them ids that ascend.
    ///
    /// # Errors
    /// Nothing is promised; adding again may list a dead letter twice.
    async fn add(&self, letters: Vec<NewDeadLetter>) -> Result<(), Error>;

    /// The first `most` dead letters whose ids come after `after`, in the order of ids.
    ///
    /// # Errors
    /// The store is away; try again.
    async fn list(&self, after: Option<&DeadLetterId>, most: usize) -> Result<Vec<DeadLetter>, Error>;

    /// One dead letter; none if there is none under this id, or not any more.
    ///
    /// # Errors
    /// The store is away; try again.
    async fn get(&self, id: &DeadLetterId) -> Result<Option<DeadLetter>, Error>;

    /// Removes a dead letter, because it was replayed. Its id is not used again.
    ///
    /// # Errors
    /// Nothing is promised; removing again is safe.
    async fn remove(&self, id: &DeadLetterId) -> Result<(), Error>;
}

/// The current price of a product, for re-checks and answers.
#[async_trait]
pub trait CurrentPrices: Send + Sync {
    /// Last evaluated price, the floor, and when.
    ///
    /// # Errors
    /// The store is away; try again.
    async fn of(
        &self,
        product: &crate::ProductId,
        currency: Currency,
    ) -> Result<Option<(crate::Evaluated, crate::Floor)>, Error>;
}
