//! The next offset of each partition of a member, tracked apart from librdkafka.
//!
//! librdkafka continues past a damaged batch and past a record that it reports as unreadable, and
//! stops reading a partition whose next offset the log no longer has. So positions are tracked
//! here, and a record is handed out only if it is at the position of its partition or past it.
//!
//! Invariant: between two seeks in a partition, its records are handed out in order and each once.
//! After librdkafka reported that it cannot read a record, none is handed out before a seek.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use pricedrop_model::{Partition, Record};
use rdkafka::bindings::rd_kafka_resp_err_t as Code;

use crate::client::raw::Fetched;
use crate::limits::{CALL_MS, SEEK_PAUSE_MS};

/// The positions of the partitions of one member.
#[derive(Default)]
pub(crate) struct Positions {
    /// The next offset of each partition that is read.
    next: BTreeMap<Partition, i64>,
    /// Partitions in which librdkafka is no longer at the next offset, and since when. Their
    /// records are dropped until a seek.
    needs_seek: BTreeMap<Partition, Instant>,
    /// When a seek was last tried in such partitions.
    sought: Option<Instant>,
    /// Partitions that librdkafka cannot read until they are assigned again.
    given_up: BTreeSet<Partition>,
}

impl Positions {
    /// Starts a partition at this offset, after a seek.
    pub(crate) fn start(&mut self, partition: Partition, offset: i64) {
        self.next.insert(partition, offset);
        self.needs_seek.remove(&partition);
    }

    /// Stops a partition: its records are dropped until it starts again.
    pub(crate) fn stop(&mut self, partition: Partition) {
        self.next.remove(&partition);
        self.needs_seek.remove(&partition);
    }

    /// Gives a partition up: librdkafka cannot read it under this assignment.
    pub(crate) fn give_up(&mut self, partition: Partition) {
        self.stop(partition);
        self.given_up.insert(partition);
    }

    /// Forgets a partition that was assigned or revoked.
    pub(crate) fn forget(&mut self, partition: Partition) {
        self.stop(partition);
        self.given_up.remove(&partition);
    }

    /// Returns the next offset of a partition that is read.
    pub(crate) fn next_of(&self, partition: Partition) -> Option<i64> {
        self.next.get(&partition).copied()
    }

    /// Stops all partitions but these. Returns those that were stopped.
    pub(crate) fn stop_others(&mut self, wanted: &[(Partition, i64)]) -> Vec<Partition> {
        let is_other = |read: &Partition| wanted.iter().all(|(partition, _)| partition != read);
        let others: Vec<Partition> = self.next.keys().copied().filter(is_other).collect();
        others.iter().for_each(|partition| self.stop(*partition));
        others
    }

    pub(crate) fn is_given_up(&self, partition: Partition) -> bool {
        self.given_up.contains(&partition)
    }

    /// Returns whether any partition needs a seek or was given up.
    pub(crate) fn want(&self) -> bool {
        !self.needs_seek.is_empty() || !self.given_up.is_empty()
    }

    /// Returns the partitions that need a seek, each with its next offset. Empty within
    /// `SEEK_PAUSE_MS` of the last call, because a seek may keep failing.
    pub(crate) fn lost_positions(&mut self) -> Vec<(Partition, i64)> {
        if self.sought.is_some_and(|at| at.elapsed() < Duration::from_millis(SEEK_PAUSE_MS)) {
            return Vec::new();
        }
        self.sought = Some(Instant::now());
        let needs_seek = self.needs_seek.keys();
        needs_seek.filter_map(|partition| Some((*partition, self.next_of(*partition)?))).collect()
    }

    /// Notes that a seek failed. Gives the partition up `CALL_MS` after it first needed the seek.
    pub(crate) fn seek_failed(&mut self, partition: Partition) {
        let since = self.needs_seek.get(&partition);
        if since.is_some_and(|since| since.elapsed() >= Duration::from_millis(CALL_MS)) {
            self.give_up(partition);
        }
    }

    /// Returns a fetched record if it was not read yet.
    pub(crate) fn take(&mut self, topic: &str, fetched: Fetched) -> Option<Record> {
        match fetched {
            Fetched::Record(record) => {
                let (partition, offset) = (record.position.partition, record.position.offset);
                let next = self.next.get_mut(&partition)?;
                if offset < *next || self.needs_seek.contains_key(&partition) {
                    return None;
                }
                *next = offset + 1;
                Some(record)
            }
            Fetched::Trouble(partition, code) => {
                self.trouble(topic, partition, code);
                None
            }
        }
    }

    fn trouble(&mut self, topic: &str, partition: Partition, code: Code) {
        let next = self.next_of(partition);
        let gone = matches!(
            code,
            Code::RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET | Code::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE
        );
        if gone {
            tracing::warn!(topic, partition = partition.0, next, "the topic does not have the next offset");
            self.give_up(partition);
        } else if let (Some(next), Entry::Vacant(place)) = (next, self.needs_seek.entry(partition)) {
            place.insert(Instant::now());
            tracing::warn!(
                topic,
                partition = partition.0,
                next,
                ?code,
                "the next record cannot be read; it is fetched again, and no later record is read before it"
            );
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use pricedrop_model::{EventTime, Position};

    use super::*;

    const P: Partition = Partition(3);

    fn take(positions: &mut Positions, offset: i64) -> bool {
        let position = Position { partition: P, offset };
        let record = Record { position, key: None, value: None, timestamp: EventTime(0), original: None };
        positions.take("topic", Fetched::Record(record)).is_some()
    }

    fn fail(positions: &mut Positions, code: Code) {
        assert!(positions.take("topic", Fetched::Trouble(P, code)).is_none());
    }

    #[test]
    fn a_record_counts_once_and_only_in_assigned_partitions() {
        let mut positions = Positions::default();
        assert!(!take(&mut positions, 4), "nobody asked for it");
        positions.start(P, 4);
        assert!(
            [3, 4, 4, 7, 5].map(|offset| take(&mut positions, offset)) == [false, true, false, true, false]
        );
        positions.start(P, 4);
        assert!(take(&mut positions, 4), "it was sought in again");
        positions.forget(P);
        assert!(!take(&mut positions, 5), "it is somebody else's");
    }

    #[test]
    fn records_after_a_damaged_batch_do_not_count_until_the_partition_is_sought_again() {
        let mut positions = Positions::default();
        positions.start(P, 4);
        fail(&mut positions, Code::RD_KAFKA_RESP_ERR__BAD_MSG);
        assert!(!take(&mut positions, 9));
        assert!(positions.want());
        assert_eq!(positions.lost_positions(), [(P, 4)]);
        // The client may report it repeatedly meanwhile.
        fail(&mut positions, Code::RD_KAFKA_RESP_ERR__BAD_MSG);
        positions.seek_failed(P);
        assert!(!take(&mut positions, 9) && !positions.is_given_up(P));
        positions.start(P, 4);
        assert!(!positions.want() && take(&mut positions, 4));
    }

    #[test]
    fn a_partition_with_deleted_records_is_given_up_until_it_is_assigned_again() {
        let mut positions = Positions::default();
        fail(&mut positions, Code::RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET);
        assert!(positions.is_given_up(P) && positions.want());
        positions.forget(P);
        assert!(!positions.is_given_up(P) && !positions.want());
    }
}
