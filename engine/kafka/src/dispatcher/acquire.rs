//! Acquires partitions for a dispatcher: decides from which offset notifications are read, and
//! reads which retries wait.

use std::collections::{BTreeMap, HashMap};

use pricedrop_model::Partition;
use pricedrop_model::dispatch::Retry;
use pricedrop_model::ports::Error;
use rdkafka::consumer::BaseConsumer;

use crate::client::log::Logged;
use crate::client::marker_reader::{LogRecord, Read, read_stable, read_to_markers, reader};
use crate::client::queries::GroupOffset;
use crate::client::raw::Records;
use crate::client::reserved_keys::Position;
use crate::dispatcher::options::DispatchOptions;
use crate::dispatcher::retries_topic::{self, Entry};
use crate::group::acquisition::{Acquisition, FirstOffsets, Owner};
use crate::group::group_consumer::GroupConsumer;
use crate::group::transactions::Transactions;
use crate::settings::Start;

/// The retries of a partition, from the topic of retries.
pub struct Restored {
    /// The partition.
    pub partition: Partition,
    /// The offset after the marker in the topic of retries.
    pub next: i64,
    /// The retries that wait.
    pub waiting: Vec<Retry>,
}

/// A dispatcher that acquires partitions.
pub struct Dispatcher<'a> {
    /// The options of the dispatcher.
    pub options: &'a DispatchOptions,
    /// The group of all dispatchers.
    pub group: &'a str,
    /// The dispatcher's member of the group.
    pub member: &'a GroupConsumer,
}

impl<'a> Dispatcher<'a> {
    /// Creates an acquisition with this producer.
    pub fn acquisition(&'a self, transactions: &'a mut Transactions) -> Acquisition<'a, Dispatcher<'a>> {
        let (settings, group, member) = (&self.options.settings, self.group, self.member);
        Acquisition { settings, group, member, transactions, owner: self }
    }

    /// Decides the offset from which a partition is read. A new dispatcher delivers no old
    /// notifications unless `stream.start` says so.
    fn first_offset(&self, partition: Partition, committed: Option<GroupOffset>) -> Result<i64, Error> {
        let (low, high) = self.member.watermarks(partition)?;
        let topic = &self.options.settings.topics.notifications;
        let again = |what: &str| {
            tracing::error!(
                topic,
                partition = partition.0,
                "{what}: all notifications that the topic keeps are read again, and those that were delivered are \
                 passed over"
            );
            Ok(low)
        };
        match (committed.map(|offset| offset.next), self.options.start) {
            (Some(offset), _) if offset > high => again("the group's offset is past the end of the topic"),
            (Some(offset), _) if offset >= low => Ok(offset),
            (Some(offset), _) => {
                let lost = low - offset;
                tracing::error!(topic, partition = partition.0, lost, "notifications were deleted unread");
                Ok(low)
            }
            (None, _) if low == high => Ok(low),
            (None, Some(Start::Earliest)) => Ok(low),
            (None, _) if self.was_acquired_before(partition)? => again("the group's offset expired, or was deleted"),
            (None, Some(Start::Latest)) => Ok(high),
            (None, None) => Err(Error::Fatal(
                format!(
                    "group {} reads {topic} for the first time, and it holds notifications already: say where \
                     to start with stream.start = \"latest\" or \"earliest\"",
                    self.group
                )
                .into(),
            )),
        }
    }

    /// Returns whether a dispatcher of this group acquired the partition before.
    fn was_acquired_before(&self, partition: Partition) -> Result<bool, Error> {
        let mut found = false;
        read_stable(&reader(&self.options.settings)?, self.topic(), &[partition], |line| {
            if let Entry::Marker(_, group) = retries_topic::read(line.partition, line.key, line.value) {
                found = group == self.group;
            }
            Ok(())
        })?;
        Ok(found)
    }
}

impl Owner for Dispatcher<'_> {
    type Stored = Restored;

    fn topic(&self) -> &str {
        &self.options.settings.topics.retries
    }

    fn other_topics(&self) -> Vec<&str> {
        Vec::new()
    }

    fn topics_by_partition(&self) -> Vec<&str> {
        vec![self.topic()]
    }

    fn position(&self, line: &LogRecord<'_>) -> Option<Position> {
        match retries_topic::read(line.partition, line.key, line.value) {
            Entry::Position(position) => Some(position),
            _ => None,
        }
    }

    fn push_marker(&self, records: &mut Records, partition: Partition, token: u64, first: Option<i64>) {
        retries_topic::push_marker(records, partition, token, self.group);
        if let Some(next) = first {
            Position::push(records, partition, next, &self.options.transactional_id);
        }
    }

    fn first_offsets(
        &self,
        _: &BaseConsumer<Logged>,
        partitions: &[Partition],
        committed: &BTreeMap<Partition, GroupOffset>,
    ) -> Result<FirstOffsets, Error> {
        let offset = |partition: &Partition| {
            let committed = committed.get(partition).copied();
            let first = self.first_offset(*partition, committed)?;
            let kept = committed.filter(|offset| offset.next == first);
            Ok((*partition, Ok(kept.unwrap_or(GroupOffset::of_engine(first)))))
        };
        partitions.iter().map(offset).collect()
    }

    fn read_stored(
        &self,
        reader: &BaseConsumer<Logged>,
        partitions: &[Partition],
        token: u64,
    ) -> Result<BTreeMap<Partition, Restored>, Error> {
        let topic = self.topic();
        let mut waiting: HashMap<Partition, HashMap<String, Retry>> = HashMap::new();
        let mut ends = BTreeMap::new();
        let version = self.member.version();
        let wanted = || self.member.check_version(version);
        read_to_markers(reader, topic, partitions, wanted, |line| {
            let waiting = waiting.entry(line.partition).or_default();
            match retries_topic::read(line.partition, line.key, line.value) {
                Entry::Waits(retry) => drop(waiting.insert(retry.key.clone(), *retry)),
                Entry::Done(key) => drop(waiting.remove(&key)),
                Entry::Marker(found, _) if found == token => {
                    ends.insert(line.partition, line.offset + 1);
                    return Ok(Read::Done);
                }
                Entry::Marker(..) | Entry::Position(_) => {}
                Entry::Unreadable(why) => {
                    let (partition, offset) = (line.partition.0, line.offset);
                    tracing::error!(
                        topic,
                        partition,
                        offset,
                        why,
                        "a record of the topic of retries cannot be read; it is skipped"
                    );
                }
            }
            Ok(Read::On)
        })?;
        let restored = ends.into_iter().map(|(partition, next)| {
            let waiting = waiting.remove(&partition).unwrap_or_default().into_values().collect();
            (partition, Restored { partition, next, waiting })
        });
        Ok(restored.collect())
    }
}
