//! A worker of the notifier: one member of the group, one transactional producer, and the states of
//! its partitions.
//!
//! ```text
//! source ◀── group/ ──▶ acquire ──▶ states ◀── commit (one transaction) ──▶ removals
//!                          └── changelog, offset_check
//! ```

pub(crate) mod acquire;
pub(crate) mod changelog;
pub(crate) mod commit;
pub(crate) mod metrics;
pub(crate) mod offset_check;
pub(crate) mod options;
pub(crate) mod removals;
pub(crate) mod source;
pub(crate) mod states;

use std::sync::{Arc, Mutex};

use pricedrop_model::Partition;
use pricedrop_model::ports::WatchWriter;
use pricedrop_model::sync::lock;

use crate::group::group_consumer::GroupConsumer;
use crate::instance_id::InstanceId;
use commit::KafkaCommitter;
use options::Options;
use removals::Remover;
use source::KafkaSource;
use states::{Shared, WorkerState};

/// Why a worker did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is invalid, or the cluster does not answer.
    #[error(transparent)]
    Kafka(#[from] pricedrop_model::ports::Error),
    /// The system could not start a thread.
    #[error("the thread of a worker cannot be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// The parts of one worker.
pub struct Worker {
    /// Reads the input.
    pub source: KafkaSource,
    /// Commits batches.
    pub committer: KafkaCommitter,
    /// Reports on the worker.
    pub status: Status,
}

/// A view of a worker that can be read at any time.
#[derive(Clone)]
pub struct Status {
    shared: Shared,
    member: std::sync::Weak<GroupConsumer>,
}

impl Status {
    /// Returns whether it acquired every partition that the group assigned to it, even if it
    /// assigned none.
    pub fn assignment_is_ready(&self) -> bool {
        let version = lock(&self.shared).sessions.version();
        self.member.upgrade().is_some_and(|member| member.assignment_is_ready(version))
    }

    /// Returns the partitions it serves, with their next offsets.
    pub fn serving(&self) -> Vec<(Partition, i64)> {
        lock(&self.shared).sessions.offsets()
    }

    /// Returns the partitions that wait for an operator, with the reason.
    pub fn stopped(&self) -> Vec<(Partition, String)> {
        lock(&self.shared).sessions.stopped().clone().into_iter().collect()
    }

    /// Returns the number of products that have a state.
    pub fn products(&self) -> usize {
        lock(&self.shared).sessions.iter().map(|(_, session)| session.kept.states.len()).sum()
    }

    /// Takes the last error that librdkafka reported.
    pub fn trouble(&self) -> Option<String> {
        self.member.upgrade()?.trouble()
    }
}

/// Starts worker number `worker` of the instance with this id. `watches` carries out removals, if
/// given.
///
/// # Errors
/// The configuration is invalid, or a thread cannot be started.
pub fn start_worker(
    options: Options,
    instance_id: &InstanceId,
    worker: usize,
    watches: Option<Arc<dyn WatchWriter>>,
) -> Result<Worker, StartError> {
    let settings = &options.settings;
    let member = Arc::new(GroupConsumer::join(settings, &settings.group, &settings.topics.prices)?);
    let shared: Shared = Arc::new(Mutex::new(WorkerState::default()));
    let transactional_id = instance_id.transactional_id(&settings.group, worker);
    let remover = match watches {
        Some(watches) if !options.shadow => Some(Remover::start(
            settings.clone(),
            member.clone(),
            shared.clone(),
            watches,
            options.metrics.clone(),
        )?),
        _ => None,
    };
    let status = Status { shared: shared.clone(), member: Arc::downgrade(&member) };
    let committer =
        KafkaCommitter::start(options, member.clone(), shared.clone(), transactional_id, remover)?;
    Ok(Worker { source: KafkaSource::new(member, shared), committer, status })
}
