//! The Kafka adapter: reads updates, and commits everything that a batch decided in one
//! transaction.
//!
//! ```text
//! price_updates ─▶ GroupConsumer ─▶ KafkaSource ─▶ (notifier) ─▶ KafkaCommitter
//!                    │ epochs                                  │ one transaction
//!                    └──────────────── fence ──────────────────┤
//!        user_notifications, states, removals, dead letters, offsets
//! ```
//!
//! A worker is one member of the consumer group, one transactional producer, and the states of its
//! partitions. It acquires a partition (`group/acquisition.rs`) before it reads it. After a commit
//! with an unknown outcome it acquires its partitions again and reads from the committed offsets.

mod admin;
mod api;
mod archive;
mod client;
mod dispatcher;
mod group;
mod instance_id;
pub mod limits;
mod notifier;
mod settings;

pub use admin::sample::{Sample, sample};
pub use admin::set_offsets::{Accepted, accept};
pub use admin::{rights, topics};
pub use api::dead_letters::KafkaDeadLetters;
pub use api::intake::KafkaIntake;
pub use api::outbox::KafkaOutbox;
pub use archive::republish::{Republisher, Seen, is_again};
pub use archive::source::{KafkaArchiveSource, first_offset};
pub use client::ack_producer::AckProducer;
pub use dispatcher::KafkaDispatch;
pub use dispatcher::notifications::KafkaNotifications;
pub use dispatcher::options::DispatchOptions;
pub use dispatcher::replays::KafkaReplays;
pub use dispatcher::retries::KafkaRetries;
pub use dispatcher::retry_index::MemoryRetryIndex;
pub use instance_id::{InstanceId, InstanceIdError};
pub use notifier::commit::KafkaCommitter;
pub use notifier::metrics::Metrics;
pub use notifier::offset_check::{Difference, OffsetCheck, differences, outgrown};
pub use notifier::options::Options;
pub use notifier::removals::Remover;
pub use notifier::source::KafkaSource;
pub use notifier::{StartError, Status, Worker, start_worker};
pub use settings::{Delivery, RESERVED, Settings, Start, Topics};
