//! Workers over a real Kafka, with unique topics for each test.
#![allow(dead_code, unused_imports)]

use std::path::Path;
use std::time::{Duration, Instant};

use pricedrop_kafka::topics::{self, NewTopics};
use pricedrop_kafka::{Delivery, KafkaCommitter, KafkaSource, Metrics, Options, Settings, Start, Topics};
use pricedrop_model::notification::Format;
use pricedrop_model::ports::{Commit, CommitError, Committer, Error, Restored, UpdateSource};

mod cluster;
mod commits;

pub use cluster::*;
pub use commits::*;

/// Longest wait for anything.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Returns settings with unique topics, which it creates.
pub async fn fresh(bootstrap: &str, partitions: i32) -> Settings {
    let mut settings = Settings::new(bootstrap);
    settings.group = format!("t{}", uuid());
    settings.topics = Topics::prefixed(&settings.group);
    let new = NewTopics { partitions, replication: 1 };
    topics::apply(&settings, new).await.expect("topics");
    settings
}

/// Returns a unique name.
pub fn uuid() -> String {
    let mut random = [0; 8];
    std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom").expect("random"), &mut random)
        .expect("bytes");
    format!("{:016x}", u64::from_be_bytes(random))
}

/// Returns the options of a worker.
pub fn options(settings: &Settings) -> Options {
    Options {
        settings: settings.clone(),
        start: Some(Start::Earliest),
        first_price_is_set: true,
        delivery: Delivery::ExactlyOnce,
        format: Format::Full,
        shadow: false,
        prices: None,
        metrics: Metrics::default(),
    }
}

/// A worker, with what it needs to run.
pub struct Rig {
    pub source: KafkaSource,
    pub committer: KafkaCommitter,
    pub status: pricedrop_kafka::Status,
    /// Locked as long as the worker runs.
    pub instance_id: pricedrop_kafka::InstanceId,
}

/// Starts a worker whose instance id is stored in this folder.
pub fn worker(options: Options, folder: &Path) -> Rig {
    let instance_id = pricedrop_kafka::InstanceId::take(folder).expect("an instance id");
    let worker = pricedrop_kafka::start_worker(options, &instance_id, 0, None).expect("a worker");
    Rig { source: worker.source, committer: worker.committer, status: worker.status, instance_id }
}

impl Rig {
    /// Restores as the notifier does, until it has acquired this many partitions.
    pub async fn own(&mut self, partitions: usize) -> Restored {
        let (until, mut why) = (Instant::now() + PATIENCE, None);
        loop {
            let stopped = self.status.stopped();
            assert!(Instant::now() < until, "never {partitions} partitions: {why:?}, {stopped:?}");
            match self.committer.restore().await {
                Ok(restored) if restored.offsets.len() == partitions => return restored,
                Ok(_) => {}
                Err(error @ (Error::Rebalanced(_) | Error::Unavailable(_))) => why = Some(error),
                Err(error) => panic!("{error}"),
            }
            // Returns at the next rebalance.
            let _ = self.source.next_batch(1, 100).await;
        }
    }
}

impl Rig {
    /// Restores until that fails with a fatal error, and returns the reason.
    pub async fn fails(&mut self) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < until, "nothing was refused");
            if let Err(Error::Fatal(why)) = self.committer.restore().await {
                return why.to_string();
            }
            let _ = self.source.next_batch(1, 100).await;
        }
    }

    /// Acquires the partitions assigned so far, and waits a moment for more.
    pub async fn follow(&mut self) {
        let _ = self.committer.restore().await;
        let _ = self.source.next_batch(1, 200).await;
    }

    /// Restores until a partition waits for an operator.
    pub async fn stops(&mut self) {
        let until = Instant::now() + PATIENCE;
        while self.status.stopped().is_empty() {
            assert!(Instant::now() < until, "no partition stopped");
            let _ = self.committer.restore().await;
            let _ = self.source.next_batch(1, 100).await;
        }
    }

    /// Commits at this offset, and retries after every interruption as the notifier does.
    /// Returns the offset reached.
    pub async fn insist(&mut self, offset: i64, commit: impl Fn(i64) -> Commit) -> i64 {
        let until = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < until, "the commit never came through");
            match self.committer.commit(commit(offset)).await {
                Ok(()) => return offset + 1,
                Err(CommitError::NotCommitted(_)) => {}
                Err(CommitError::Unknown(_) | CommitError::Fenced(_)) => {
                    let next = self.own(1).await.offsets[0].1;
                    if next > offset {
                        return next;
                    }
                }
            }
        }
    }
}
