//! The log on Kafka: updates come in, and everything a batch decided becomes
//! true in one transaction.
//!
//! ```text
//! price_updates ─▶ Member ─▶ KafkaSource ─▶ (notifier) ─▶ KafkaCommitter
//!                    │ epochs                                  │ one transaction
//!                    └──────────────── fence ──────────────────┤
//!        user_notifications, states, removals, dead letters, offsets
//! ```
//!
//! A worker is one member of the group, one transactional producer, and the
//! states of its partitions. It takes a partition over ([`take_over`]) before
//! it reads it, and goes back to what is committed after every outcome it does
//! not know.

mod accept;
mod acked;
mod archive_source;
mod assigning;
mod commit;
mod dead_letters;
mod dispatch;
mod dispatch_ledger;
mod dispatch_replays;
mod ends;
mod figures;
mod group;
mod intake;
pub mod limits;
mod log;
mod log_reader;
mod marked_log;
mod member;
mod notifications;
mod outbox;
mod places;
mod raw;
mod removals;
mod republish;
mod retries;
mod retries_index;
mod retries_topic;
pub mod rights;
mod sample;
mod settings;
mod slot;
mod source;
mod state_log;
mod states;
mod take_over;
pub mod topics;
mod transactions;

use std::path::Path;
use std::sync::{Arc, Mutex};

use pricedrop_model::seams::WatchWriter;

pub use accept::{Accepted, accept};
pub use acked::Acked;
pub use archive_source::{KafkaArchiveSource, first_offset};
pub use commit::{KafkaCommitter, Options};
pub use dead_letters::KafkaDeadLetters;
pub use dispatch::{DispatchOptions, KafkaDispatch};
pub use dispatch_replays::KafkaReplays;
pub use ends::{Difference, Ends, differences, outgrown};
pub use figures::Figures;
pub use intake::{KafkaIntake, PostError, PostedRecord};
pub use notifications::KafkaNotifications;
pub use outbox::KafkaOutbox;
pub use removals::Remover;
pub use republish::{Republisher, Seen, is_again};
pub use retries::KafkaRetries;
pub use retries_index::MemoryRetryIndex;
pub use sample::{Sample, sample};
pub use settings::{RESERVED, Settings, Topics};
pub use slot::{Slot, SlotError};
pub use source::KafkaSource;

use commit::Shared;
use group::lock;
use member::Member;
use states::Holdings;

/// Where a group begins that never read its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Behind the records that are there.
    Latest,
    /// With the first record there is.
    Earliest,
}

/// How sure a notification is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Delivery {
    /// Each fan-out appears once to readers of committed records.
    #[default]
    ExactlyOnce,
    /// A crash may repeat some; no transactions.
    AtLeastOnce,
}

impl Delivery {
    fn is_exact(self) -> bool {
        self == Delivery::ExactlyOnce
    }
}

/// Why a worker does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The client refuses, or nothing answers.
    #[error(transparent)]
    Kafka(#[from] pricedrop_model::seams::Error),
    /// The system has no thread to give.
    #[error("no thread for a worker: {0}")]
    Thread(#[from] std::io::Error),
}

/// One worker's parts.
pub struct Worker {
    /// Its input.
    pub source: KafkaSource,
    /// Its commit.
    pub committer: KafkaCommitter,
    /// What is said of it.
    pub status: Status,
}

/// What can be said of a worker at any time.
#[derive(Clone)]
pub struct Status {
    shared: Shared,
    member: std::sync::Weak<Member>,
}

impl Status {
    /// Whether it has taken over what the group gave it, be it nothing.
    pub fn is_level(&self) -> bool {
        let version = lock(&self.shared).version;
        self.member.upgrade().is_some_and(|member| member.knows(version))
    }

    /// The partitions it serves, with their next offsets.
    pub fn serving(&self) -> Vec<(pricedrop_model::Partition, i64)> {
        lock(&self.shared).owned.iter().map(|(partition, owned)| (*partition, owned.next)).collect()
    }

    /// The partitions that wait for a person, and why.
    pub fn stopped(&self) -> Vec<(pricedrop_model::Partition, String)> {
        lock(&self.shared).stopped.iter().map(|(partition, why)| (*partition, why.clone())).collect()
    }

    /// How many products it knows.
    pub fn products(&self) -> usize {
        lock(&self.shared).owned.values().map(|owned| owned.states.len()).sum()
    }

    /// What the client complained of since this was asked last.
    pub fn trouble(&self) -> Option<String> {
        self.member.upgrade()?.trouble()
    }
}

/// Starts worker number `worker` of the instance that has this slot; removals
/// are carried out by `watches`, if given.
///
/// # Errors
/// The client refuses its configuration.
pub fn start_worker(
    options: Options,
    slot: &Slot,
    worker: usize,
    watches: Option<Arc<dyn WatchWriter>>,
) -> Result<Worker, StartError> {
    let settings = &options.settings;
    let member = Arc::new(Member::join(settings, &settings.group, &settings.topics.prices)?);
    let shared: Shared = Arc::new(Mutex::new(Holdings::default()));
    let transactional_id = slot.transactional_id(&settings.group, worker);
    let remover = match watches {
        Some(watches) if !options.shadow => Some(Remover::start(
            settings.clone(),
            member.clone(),
            shared.clone(),
            watches,
            options.figures.clone(),
        )?),
        _ => None,
    };
    let status = Status { shared: shared.clone(), member: Arc::downgrade(&member) };
    let committer =
        KafkaCommitter::start(options, member.clone(), shared.clone(), transactional_id, remover)?;
    Ok(Worker { source: KafkaSource::new(member, shared), committer, status })
}

/// Takes the instance's name in this data folder.
///
/// # Errors
/// Somebody else has it, or the folder is of no use.
pub fn take_slot(folder: &Path) -> Result<Slot, SlotError> {
    Slot::take(folder)
}

/// A number nobody else has.
fn fresh_token() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.finish()
}
