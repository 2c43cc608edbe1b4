//! The input: records of the partitions that are ours, from where they were
//! taken over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pricedrop_model::seams::{Error, Outcome, UpdateSource};
use pricedrop_model::{Partition, Position, Record};
use rdkafka::bindings::rd_kafka_resp_err_t as Code;

use super::commit::{Shared, lock};
use super::limits::{LOOK_AGAIN_MS, LOOKS_DOUBLED};
use super::member::Member;
use super::raw::{Fetched, FetchedRecord};

/// Updates of the partitions that the group gave us.
pub struct KafkaSource {
    member: Arc<Member>,
    shared: Shared,
    /// The next offset of each partition that is read.
    expected: BTreeMap<Partition, i64>,
    /// Those of them that nothing is wanted of.
    held_back: BTreeSet<Partition>,
}

impl KafkaSource {
    pub(super) fn new(member: Arc<Member>, shared: Shared) -> KafkaSource {
        KafkaSource { member, shared, expected: BTreeMap::new(), held_back: BTreeSet::new() }
    }

    /// Why the notifier must restore, if it must.
    fn moved(&self) -> Option<String> {
        let holdings = lock(&self.shared);
        if holdings.version != self.member.version() {
            return Some("partitions came or went".into());
        }
        let waited = holdings.looked_at.map_or(Duration::ZERO, |at| at.elapsed());
        // Each look costs unfinished fan-outs what they have in hand.
        let pause_ms = LOOK_AGAIN_MS << holdings.looks.min(LOOKS_DOUBLED);
        let again = !holdings.stopped.is_empty() && waited >= Duration::from_millis(pause_ms);
        again.then(|| "looking again at partitions that wait for a person".into())
    }

    fn take(&mut self, fetched: FetchedRecord) -> Option<Record> {
        let Position { partition, offset } = fetched.position;
        let expected = self.expected.get_mut(&partition)?;
        // What was fetched before a rewind is read again, in order.
        if offset < *expected {
            return None;
        }
        *expected = offset + 1;
        let FetchedRecord { position, key, value, timestamp } = fetched;
        Some(Record { position, key, value, timestamp })
    }

    fn next_of(&self, partition: Partition) -> Option<(Partition, i64)> {
        self.expected.get(&partition).map(|offset| (partition, *offset))
    }

    /// When the client refuses, a rebalance came in between, or it is broken:
    /// restoring again finds out.
    fn restore_unless(&self, done: Result<(), Error>) {
        if let Err(error) = done {
            tracing::debug!(%error, "reading on from the committed offsets");
            lock(&self.shared).version = 0;
        }
    }

    /// A partition that cannot be read is taken over anew, which says why.
    fn trouble(&mut self, partition: Partition, code: Code) {
        tracing::debug!(partition = partition.0, ?code, "reading the input");
        let gone = matches!(
            code,
            Code::RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET | Code::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE
        );
        if gone && let Some(next) = self.expected.remove(&partition) {
            let topic = self.member.topic();
            tracing::warn!(topic, partition = partition.0, next, "the log does not have the next offset");
            lock(&self.shared).owned.remove(&partition);
            let done = self.member.join_again();
            self.restore_unless(done);
        }
    }
}

#[async_trait]
impl UpdateSource for KafkaSource {
    async fn next_batch(&mut self, most: usize, wait_ms: u64) -> Result<Option<Vec<Record>>, Error> {
        let until = Instant::now() + Duration::from_millis(wait_ms);
        loop {
            let mut records = Vec::new();
            for fetched in self.member.read(most) {
                match fetched {
                    Fetched::Record(fetched) => records.extend(self.take(fetched)),
                    Fetched::Trouble(partition, code) => self.trouble(partition, code),
                }
            }
            if let Some(why) = self.moved() {
                return Err(Error::Moved(why));
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
        let read_on: Vec<_> = self.held_back.difference(&wanted).filter_map(|p| self.next_of(*p)).collect();
        let paused: Vec<_> = wanted.difference(&self.held_back).copied().collect();
        let done = self.member.pause(&paused).and_then(|()| self.member.go_on(&read_on));
        self.held_back = wanted;
        self.restore_unless(done);
    }

    fn settled(&mut self, _: Vec<(Position, Outcome)>) {}

    fn rewind(&mut self, offsets: &[(Partition, i64)]) {
        self.expected = offsets.iter().copied().collect();
        self.held_back.clear();
        let done = self.member.go_on(offsets);
        self.restore_unless(done);
    }
}
