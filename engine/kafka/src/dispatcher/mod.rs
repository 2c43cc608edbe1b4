//! The dispatcher's side of Kafka: one member of the dispatchers' group, and one worker that writes
//! offsets and retries.
//!
//! ```text
//! user_notifications ─▶ KafkaNotifications ─┐ offsets
//!                                           ├─▶ worker ─▶ one transaction ─▶ index
//!                       KafkaRetries ───────┘ put, remove
//!                             └──────────── take ─────────────────────────────▶ index
//! ```
//!
//! Requests that arrive during a transaction are written by the next one.
//!
//! Invariant: the index follows the topic of retries. Retries that are in the topic but not in the
//! index are read from the topic again. The only data that the index alone has is the new due time
//! of a retry that was taken.

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

/// A dispatcher's membership, with its log and its retry queue. It leaves the group when the last
/// of these is dropped.
pub struct KafkaDispatch(Arc<Handle>);

impl KafkaDispatch {
    /// Joins the dispatchers' group. The worker runs on the current runtime.
    ///
    /// # Errors
    /// `Fatal`: the configuration is invalid.
    ///
    /// # Panics
    /// There is no current runtime.
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

    /// Returns the log of notifications. Call it once. Records that are not notifications are
    /// written to `dead_letters`.
    pub fn notifications(&self, dead_letters: KafkaDeadLetters) -> KafkaNotifications {
        KafkaNotifications::new(self.0.clone(), dead_letters)
    }

    /// Returns the retry queue.
    pub fn retries(&self) -> KafkaRetries {
        KafkaRetries::new(self.0.clone())
    }

    /// Returns whether it has acquired every partition that the group assigned to it, even if it
    /// assigned none.
    pub fn assignment_is_ready(&self) -> bool {
        self.0.view.level.load(Ordering::SeqCst)
    }

    /// Returns the partitions whose retries are served.
    pub fn serving(&self) -> Vec<Partition> {
        self.0.view.indexed().iter().map(|owned| owned.partition).collect()
    }

    /// Takes the last error that librdkafka reported.
    pub fn trouble(&self) -> Option<String> {
        self.0.member.trouble()
    }
}
