//! The input of a notifier: records of the acquired partitions, from their committed offsets.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pricedrop_model::ports::{Error, Outcome, UpdateSource};
use pricedrop_model::sync::lock;
use pricedrop_model::{Partition, Position, Record};

use crate::group::group_consumer::GroupConsumer;
use crate::notifier::states::Shared;

/// Updates of the partitions of one worker.
pub struct KafkaSource {
    member: Arc<GroupConsumer>,
    shared: Shared,
}

impl KafkaSource {
    pub(crate) fn new(member: Arc<GroupConsumer>, shared: Shared) -> KafkaSource {
        KafkaSource { member, shared }
    }

    /// Returns why the notifier must restore. `None` means it need not.
    fn moved(&self) -> Option<String> {
        let shared = lock(&self.shared);
        if shared.sessions.version() != self.member.version() {
            return Some("partitions were assigned or revoked".into());
        }
        let again = shared.look_again_at.is_some_and(|at| Instant::now() >= at);
        again.then(|| "partitions that wait for an operator are checked again".into())
    }
}

#[async_trait]
impl UpdateSource for KafkaSource {
    async fn next_batch(&mut self, most: usize, wait_ms: u64) -> Result<Option<Vec<Record>>, Error> {
        let until = Instant::now() + Duration::from_millis(wait_ms);
        loop {
            let records = self.member.read(most);
            if let Some(why) = self.moved() {
                return Err(Error::Rebalanced(why.into()));
            }
            let left = until.saturating_duration_since(Instant::now());
            if !records.is_empty() || left.is_zero() {
                return Ok(Some(records));
            }
            self.member.wait(left).await;
        }
    }

    fn hold_back(&mut self, partitions: &[Partition]) {
        let wanted: BTreeSet<Partition> = partitions.iter().copied().collect();
        let before = std::mem::replace(&mut lock(&self.shared).held_back, wanted.clone());
        let resume: Vec<_> = before.difference(&wanted).copied().collect();
        let paused: Vec<_> = wanted.difference(&before).copied().collect();
        self.member.pause(&paused);
        self.member.unpause(&resume);
    }

    fn settled(&mut self, _: Vec<(Position, Outcome)>) {}
}
