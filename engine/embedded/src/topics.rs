//! The topics of the embedded store: their names, and their only partition.

use pricedrop_model::Partition;

/// The input topic. Notifications name it as the source of their update.
pub const INPUT_TOPIC: &str = "price_updates";

/// The topic of dead letters: rejected records, and deliveries that failed permanently. Ids of
/// dead letters and the archive contain this name.
pub const DEAD_LETTER_TOPIC: &str = "dlq";

/// The only partition of each topic.
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

    /// Returns the name under which the archive stores the topic.
    pub fn name(self) -> &'static str {
        match self {
            ArchivedTopic::Updates => INPUT_TOPIC,
            ArchivedTopic::Notifications => "user_notifications",
            ArchivedTopic::DeadLetters => DEAD_LETTER_TOPIC,
        }
    }
}
