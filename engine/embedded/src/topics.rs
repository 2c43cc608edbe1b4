//! The log of the embedded store as topics: their names, and their one partition.

use pricedrop_model::Partition;

/// The topic that notifications of embedded updates name as their source.
pub const INPUT_TOPIC: &str = "price_updates";

/// The log of dead letters: records that are no updates, and deliveries that failed for
/// good. The ids of dead letters and the archive name it.
pub const DEAD_LETTER_TOPIC: &str = "dlq";

/// The embedded input has one partition. So have the other topics.
pub const PARTITION: Partition = Partition(0);

/// A topic of the embedded store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchivedTopic {
    /// The updates that were posted.
    Updates,
    /// The notifications of the outbox.
    Notifications,
    /// The dead letters, as JSON.
    DeadLetters,
}

impl ArchivedTopic {
    /// All topics.
    pub const ALL: [ArchivedTopic; 3] =
        [ArchivedTopic::Updates, ArchivedTopic::Notifications, ArchivedTopic::DeadLetters];

    /// The name under which the archive keeps it.
    pub fn name(self) -> &'static str {
        match self {
            ArchivedTopic::Updates => INPUT_TOPIC,
            ArchivedTopic::Notifications => "user_notifications",
            ArchivedTopic::DeadLetters => DEAD_LETTER_TOPIC,
        }
    }
}
