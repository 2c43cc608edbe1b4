//! Acquires partitions for a notifier, so that its decisions follow from everything that any worker
//! committed before.
//!
//! The steps are those of [`Acquisition`]. The notifier begins at the committed offset of its group
//! and reads the states up to the marker. It requires that the position stored with the states is
//! that offset, and that the partition count of the input has not changed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use pricedrop_model::ports::Error;
use pricedrop_model::{Cause, Partition};
use rdkafka::consumer::BaseConsumer;

use crate::client::log::Logged;
use crate::client::marker_reader::{LogRecord, Read, read_stable, read_to_markers, reader};
use crate::client::queries::GroupOffset;
use crate::client::raw::{Records, Value};
use crate::client::reserved_keys::{MARKER, Position};
use crate::client::token::fresh_token;
use crate::group::acquisition::{Acquired, Acquisition, FirstOffsets, Owner};
use crate::group::group_consumer::{GroupConsumer, PartitionEpoch};
use crate::group::transactions::Transactions;
use crate::limits::{END_AGAIN_MS, END_SETTLES_MS};
use crate::notifier::changelog::{self, ACCEPTED, Entry, PARTITIONS};
use crate::notifier::offset_check::{describe_outgrown, is_committed_in_part, stored_partition_count};
use crate::notifier::options::Options;
use crate::notifier::states::{Latest, PartitionStates};
use crate::settings::Start;

/// The result of an acquisition.
#[derive(Default)]
pub struct Partitions {
    /// Partitions that can be read, each with its next offset and its states.
    pub acquired: Vec<(PartitionEpoch, i64, PartitionStates)>,
    /// Partitions that wait for an operator, with the reason.
    pub stopped: BTreeMap<Partition, String>,
}

/// What a partition of the changelog stores.
#[derive(Default)]
pub struct Stored {
    states: PartitionStates,
    latest: Latest,
    position: Option<i64>,
    /// The offset that an operator accepted after the position was stored.
    accepted: Option<i64>,
    /// The partition count of the input when its first states were stored.
    input_partitions: Option<u32>,
}

/// A notifier that acquires partitions.
pub struct Notifier<'a> {
    /// The options of the worker.
    pub options: &'a Options,
    /// The worker's member of the group.
    pub member: &'a GroupConsumer,
    /// The rebalance that assigned the partitions. After the next one the acquisition is given up.
    pub version: u64,
    /// The transactional id of the worker's producer.
    pub id: &'a str,
}

/// Acquires these partitions. Without partitions it only ends what earlier producers left open.
///
/// # Errors
/// The cluster does not answer; partitions were reassigned; or an operator has to act.
pub fn acquire(
    notifier: &Notifier<'_>,
    transactions: &mut Transactions,
    held: &[PartitionEpoch],
) -> Result<Partitions, Error> {
    let began = Instant::now();
    let settings = &notifier.options.settings;
    let mut acquisition = Acquisition {
        settings,
        group: &settings.group,
        member: notifier.member,
        transactions,
        owner: notifier,
    };
    let outcome = acquisition.run(held, fresh_token())?;
    let mut partitions = Partitions { stopped: outcome.stopped, ..Partitions::default() };
    if outcome.acquired.is_empty() {
        return Ok(partitions);
    }
    let count = u32::try_from(outcome.partition_count).unwrap_or(u32::MAX);
    notifier.compare_with_stored_count(&outcome.acquired, count)?;
    let mut adopted = Vec::new();
    for one in outcome.acquired {
        let partition = one.held.0;
        match notifier.next_offset(&one)? {
            Ok(next) => {
                if next != one.offset.next || one.stored.input_partitions.is_none() {
                    adopted.push((one.held, next));
                }
                notifier.show_latest(&one.stored, next)?;
                partitions.acquired.push((one.held, next, one.stored.states));
            }
            Err(why) => {
                tracing::error!(partition = partition.0, "{why}");
                partitions.stopped.insert(partition, why);
            }
        }
    }
    if !adopted.is_empty() {
        let (held, offsets, records) = notifier.adoption(&adopted, count);
        acquisition.write(&held, &offsets, records)?;
    }
    let took = began.elapsed();
    notifier.options.metrics.acquired(took);
    let numbers: Vec<Partition> = held.iter().map(|(partition, _)| *partition).collect();
    let products: usize = partitions.acquired.iter().map(|(_, _, states)| states.len()).sum();
    tracing::info!(partitions = ?numbers, products, took_ms = took.as_millis() as u64, "partitions acquired");
    Ok(partitions)
}

impl Owner for Notifier<'_> {
    type Stored = Stored;

    fn topic(&self) -> &str {
        &self.options.settings.topics.state
    }

    fn other_topics(&self) -> Vec<&str> {
        let topics = &self.options.settings.topics;
        vec![&topics.removals, &topics.notifications, &topics.dead_updates]
    }

    fn topics_by_partition(&self) -> Vec<&str> {
        let topics = &self.options.settings.topics;
        vec![&topics.state, &topics.removals]
    }

    fn position(&self, line: &LogRecord<'_>) -> Option<Position> {
        match changelog::read_line(self.topic(), line) {
            Ok(Entry::Position(position)) => Some(position),
            _ => None,
        }
    }

    fn push_marker(&self, records: &mut Records, partition: Partition, token: u64, first: Option<i64>) {
        push(records, partition, MARKER, &token.to_be_bytes());
        if let Some(next) = first {
            Position::push(records, partition, next, self.id);
        }
    }

    fn first_offsets(
        &self,
        reader: &BaseConsumer<Logged>,
        partitions: &[Partition],
        committed: &BTreeMap<Partition, GroupOffset>,
    ) -> Result<FirstOffsets, Error> {
        let mut offsets: FirstOffsets =
            committed.iter().map(|(partition, offset)| (*partition, Ok(*offset))).collect();
        let without: Vec<Partition> =
            partitions.iter().filter(|one| !committed.contains_key(one)).copied().collect();
        if without.is_empty() {
            return Ok(offsets);
        }
        let (mut positions, mut accepted) = (BTreeMap::new(), BTreeMap::new());
        read_stable(reader, self.topic(), &without, |line| {
            match changelog::read_line(self.topic(), &line)? {
                Entry::Position(position) => {
                    positions.insert(line.partition, position.next);
                    accepted.remove(&line.partition);
                }
                Entry::Accepted(Some(next)) => {
                    accepted.insert(line.partition, next);
                }
                _ => {}
            }
            Ok(())
        })?;
        for partition in without {
            let offset = match (accepted.get(&partition), positions.get(&partition)) {
                (Some(next), _) => Ok(*next),
                (None, Some(next)) => Err(self.describe_lost(partition, *next)),
                (None, None) => Ok(self.first_offset(partition)?),
            };
            offsets.insert(partition, offset.map(GroupOffset::of_engine));
        }
        Ok(offsets)
    }

    fn read_stored(
        &self,
        reader: &BaseConsumer<Logged>,
        partitions: &[Partition],
        token: u64,
    ) -> Result<BTreeMap<Partition, Stored>, Error> {
        let mut all: BTreeMap<Partition, Stored> = BTreeMap::new();
        let topic = self.topic();
        let wanted = || self.member.check_version(self.version);
        read_to_markers(reader, topic, partitions, wanted, |line| {
            let entry = changelog::read_line(topic, &line)?;
            let stored = all.entry(line.partition).or_default();
            match entry {
                Entry::State(key, bytes) => {
                    let at = stored.states.store(&key, bytes).map_err(|error| {
                        let place = format!("{topic}[{}] at offset {}", line.partition.0, line.offset);
                        Error::Fatal(Cause::new(format!("{place}, product {}", key.product), error))
                    })?;
                    if self.options.prices.is_some() {
                        stored.latest.add(key, at);
                    }
                }
                Entry::Position(position) => {
                    stored.position = Some(position.next);
                    stored.accepted = None;
                }
                Entry::Accepted(next) => stored.accepted = next,
                Entry::Partitions(count) => stored.input_partitions = Some(count),
                Entry::Marker(found) if found == token => return Ok(Read::Done),
                Entry::Marker(_) => {}
            }
            Ok(Read::On)
        })?;
        Ok(all)
    }
}

impl Notifier<'_> {
    fn describe_lost(&self, partition: Partition, next: i64) -> String {
        format!(
            "group {} has no offset of {}[{}], whose states were stored at offset {next}: it expired, or was \
             deleted; check what was lost, then set the offset with {}",
            self.options.settings.group,
            self.options.settings.topics.prices,
            partition.0,
            self.accept_command(partition)
        )
    }

    fn accept_command(&self, partition: Partition) -> String {
        let shadow = if self.options.shadow { " --shadow" } else { "" };
        format!("`pricedrop offsets set --partition {}{shadow}`", partition.0)
    }

    /// Decides the first offset of a partition that was never read. If it holds records, settings
    /// must say where to begin, so that starting an engine does not notify every user. Decided for
    /// each partition, because workers that start together acquire different partitions.
    fn first_offset(&self, partition: Partition) -> Result<i64, Error> {
        let (low, high) = self.member.watermarks(partition)?;
        if low == high {
            return Ok(low);
        }
        let (settings, asked) = (&self.options.settings, self.options.start);
        match asked {
            Some(start) if self.options.first_price_is_set => Ok(match start {
                Start::Earliest => low,
                Start::Latest => high,
            }),
            _ => Err(Error::Fatal(format!(
                "group {} reads {}[{}] for the first time, and it holds records already: say where to start with \
                 stream.start = \"latest\" or \"earliest\", and what the first price of a product does with \
                 rules.first_price = \"notify\" or \"baseline\"",
                settings.group, settings.topics.prices, partition.0
            ).into())),
        }
    }

    /// Refuses an input whose partition count changed. A partition without states has no stored
    /// count; then the count of the first partition is read.
    fn compare_with_stored_count(&self, acquired: &[Acquired<Stored>], now: u32) -> Result<(), Error> {
        let settings = &self.options.settings;
        let mut then: Vec<u32> = acquired.iter().filter_map(|one| one.stored.input_partitions).collect();
        if then.len() < acquired.len() {
            then.extend(stored_partition_count(settings, &reader(settings)?)?);
        }
        match then.into_iter().find(|then| *then != now) {
            Some(then) => {
                let (what, remedy) = describe_outgrown(then, now);
                Err(Error::Fatal(format!("{} {what}: {remedy}", settings.topics.prices).into()))
            }
            None => Ok(()),
        }
    }

    /// Returns the start and the end of a log. A broker that was restarted may report an earlier end
    /// for a moment, so an end before the group's offset is asked for again.
    fn settled_watermarks(&self, partition: Partition, offset: i64) -> Result<(i64, i64), Error> {
        let until = Instant::now() + Duration::from_millis(END_SETTLES_MS);
        loop {
            let (low, high) = self.member.watermarks(partition)?;
            if offset <= high || Instant::now() >= until {
                return Ok((low, high));
            }
            std::thread::sleep(Duration::from_millis(END_AGAIN_MS));
        }
    }

    /// Decides the next offset of a partition, or the reason why an operator has to decide.
    fn next_offset(&self, acquired: &Acquired<Stored>) -> Result<Result<i64, String>, Error> {
        let Acquired { held: (partition, _), offset: group, first, stored } = acquired;
        let (partition, offset) = (*partition, group.next);
        if let Some(accepted) = stored.accepted {
            return Ok(Ok(accepted));
        }
        let (low, high) = self.settled_watermarks(partition, offset)?;
        let (topic, number) = (&self.options.settings.topics.prices, partition.0);
        let remedy = format!("then set the offset with {}", self.accept_command(partition));
        let exact = self.options.delivery.is_exact();
        Ok(match stored.position {
            Some(position)
                if exact && is_committed_in_part(*group, position) && (low..=high).contains(&position) =>
            {
                tracing::error!(
                    topic,
                    partition = number,
                    group_offset = offset,
                    position,
                    "Kafka committed states and lost the offset of the same transaction; reading goes on after them"
                );
                Ok(position)
            }
            Some(position) if exact && position != offset => Err(format!(
                "{topic}[{number}]: the group is at offset {offset}, and the states were stored at {position}: \
                 somebody changed one of them; look which is right, {remedy}"
            )),
            None if exact && !first => Err(format!(
                "{topic}[{number}]: the group is at offset {offset}, and there are no states: was the topic of \
                 states made anew? Look what happened, {remedy}"
            )),
            _ if offset < low => Err(format!(
                "{topic}[{number}]: the group is at offset {offset}, and the log begins at {low}: {} records were \
                 deleted before they were read; {remedy}",
                low - offset
            )),
            _ if offset > high => Err(format!(
                "{topic}[{number}]: the group is at offset {offset}, and the log ends at {high}: was the topic \
                 made anew? Look what happened, {remedy}"
            )),
            _ => Ok(offset),
        })
    }

    /// Makes records and offsets that store these next offsets as the group's own, and the
    /// partition count.
    fn adoption(
        &self,
        adopted: &[(PartitionEpoch, i64)],
        count: u32,
    ) -> (Vec<PartitionEpoch>, Vec<(Partition, GroupOffset)>, Records) {
        let mut records = Records::default();
        for ((partition, _), next) in adopted {
            Position::push(&mut records, *partition, *next, self.id);
            push(&mut records, *partition, PARTITIONS, &count.to_be_bytes());
            records.push(partition.0, ACCEPTED, |_| Value::Tombstone);
        }
        let held = adopted.iter().map(|(held, _)| *held).collect();
        let offset = |(held, next): &(PartitionEpoch, i64)| (held.0, GroupOffset::of_engine(*next));
        (held, adopted.iter().map(offset).collect(), records)
    }

    /// Shows again the prices that a previous worker may have committed without showing them.
    fn show_latest(&self, stored: &Stored, next: i64) -> Result<(), Error> {
        let Some(prices) = &self.options.prices else { return Ok(()) };
        let rows = stored.latest.keys().into_iter().map(|key| stored.states.price(key, next));
        prices.show(rows.collect::<Result<_, _>>()?);
        Ok(())
    }
}

fn push(records: &mut Records, partition: Partition, key: &[u8], value: &[u8]) {
    records.push(partition.0, key, |out| {
        out.extend_from_slice(value);
        Value::Written
    });
}
