//! The dispatcher's side of Kafka: one member of the dispatchers' group, and
//! one worker that writes what its log and its retry queue ask for.
//!
//! ```text
//! user_notifications ─▶ KafkaNotifications ─┐ offsets
//!                                           ├─▶ worker ─▶ one transaction ─▶ index
//!                       KafkaRetries ───────┘ put, remove
//!                             └──────────── take ─────────────────────────────▶ index
//! ```
//!
//! What waits while a transaction is on its way goes into the next one.
//!
//! Invariant: the index follows the topic. What is in the topic and did not
//! come into the index is read from the topic again; nothing is the other way
//! round but due times of entries that are taken.

pub(crate) mod acquire;
pub(crate) mod handle;
pub(crate) mod ledger;
pub(crate) mod notifications;
pub(crate) mod options;
pub(crate) mod replays;
pub(crate) mod retries;
pub(crate) mod retries_topic;
pub(crate) mod retry_index;
mod worker;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use pricedrop_model::Partition;
use pricedrop_model::ports::Error;
use tokio::sync::mpsc;

use crate::api::dead_letters::KafkaDeadLetters;
use crate::group::group_consumer::GroupConsumer;
use handle::{Handle, View};
use notifications::KafkaNotifications;
use options::DispatchOptions;
use retries::KafkaRetries;
use worker::Worker;

/// A dispatcher's membership: its log and its retry queue. It leaves the group
/// when the last of these is dropped.
pub struct KafkaDispatch(Arc<Handle>);

impl KafkaDispatch {
    /// Joins the dispatchers' group, on the runtime it is called on.
    ///
    /// # Errors
    /// The configuration is refused.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn join(options: DispatchOptions) -> Result<KafkaDispatch, Error> {
        let index = options.index.clone();
        let member =
            GroupConsumer::join(&options.settings, &options.group(), &options.settings.topics.notifications)?;
        let member = Arc::new(member);
        let view = Arc::new(View::default());
        let (requests, inbox) = mpsc::unbounded_channel();
        let worker = Worker::new(options, member.clone(), view.clone())?;
        tokio::spawn(worker.run(inbox));
        Ok(KafkaDispatch(Arc::new(Handle { member, requests, view, index })))
    }

    /// The notifications; asked once. Records that are none go to these dead
    /// letters.
    pub fn notifications(&self, dead_letters: KafkaDeadLetters) -> KafkaNotifications {
        KafkaNotifications::new(self.0.clone(), dead_letters)
    }

    /// The retry queue.
    pub fn retries(&self) -> KafkaRetries {
        KafkaRetries::new(self.0.clone())
    }

    /// Whether it has acquired every partition that the group assigned to it, even if it
    /// assigned none.
    pub fn assignment_is_ready(&self) -> bool {
        self.0.view.level.load(Ordering::SeqCst)
    }

    /// The partitions whose retries are served.
    pub fn serving(&self) -> Vec<Partition> {
        self.0.view.indexed().iter().map(|owned| owned.partition).collect()
    }

    /// What the client complained of since this was asked last.
    pub fn trouble(&self) -> Option<String> {
        self.0.member.trouble()
    }
}
