//! Taking over partitions, so that what is done from then on follows from
//! everything that was committed before, by whomever.
//!
//! The steps are those of [`Acquisition`]. The notifier begins at the stable committed
//! offset O of its group, reads the states up to the marker, requires that the position
//! stored with them is O, and that the input has as many partitions as it had.

use std::collections::BTreeMap;

use pricedrop_model::Partition;
use pricedrop_model::ports::Error;
use rdkafka::consumer::BaseConsumer;

use crate::client::log::Logged;
use crate::client::marker_reader::{Read, read_stable, read_to_markers, reader};
use crate::client::raw::{Records, Value};
use crate::client::token::fresh_token;
use crate::group::acquisition::Acquisition;
use crate::group::group_consumer::{GroupConsumer, PartitionEpoch};
use crate::group::transactions::Transactions;
use crate::notifier::changelog::{self, ACCEPTED, Entry, MARKER, PARTITIONS, POSITION};
use crate::notifier::offset_check::{counted, words_for_outgrown};
use crate::notifier::options::Options;
use crate::notifier::states::{Latest, Owned, PartitionStates};
use crate::settings::Start;

/// What became of partitions that are ours now.
#[derive(Default)]
pub struct Acquired {
    /// They can be read on.
    pub owned: BTreeMap<Partition, Owned>,
    /// They wait for a person, and why.
    pub stopped: BTreeMap<Partition, String>,
}

/// What a state partition says.
#[derive(Default)]
struct Told {
    states: PartitionStates,
    latest: Latest,
    position: Option<i64>,
    /// Accepted after the position was written.
    accepted: Option<i64>,
    /// How many partitions the input had at the first take-over.
    input_partitions: Option<u32>,
}

/// One take-over.
pub struct Acquire<'a> {
    /// How the worker works.
    pub options: &'a Options,
    /// The member of the group.
    pub member: &'a GroupConsumer,
    /// Its producer.
    pub transactions: &'a mut Transactions,
    /// The rebalance that gave us the partitions: behind the next one they are not
    /// worth waiting for.
    pub version: u64,
}

impl Acquire<'_> {
    /// Takes these partitions over.
    ///
    /// # Errors
    /// The cluster is away; partitions moved meanwhile; or somebody has to look.
    pub fn run(&mut self, held: &[PartitionEpoch]) -> Result<Acquired, Error> {
        let began = std::time::Instant::now();
        let partitions: Vec<Partition> = held.iter().map(|(partition, _)| *partition).collect();
        let reader = reader(&self.options.settings)?;
        let topics = &self.options.settings.topics;
        let count = self.steps().same_partition_count(&reader, &[&topics.state, &topics.removals])?;
        let input_partitions = u32::try_from(count).unwrap_or(u32::MAX);
        self.abort_hanging(held)?;
        let committed = self.member.committed(&partitions)?;
        let (fresh, lost) = self.first_offsets(&reader, &partitions, &committed)?;
        let ours: Vec<PartitionEpoch> = held.iter().filter(|(p, _)| !lost.contains_key(p)).copied().collect();
        let offsets: Vec<(Partition, i64)> = ours
            .iter()
            .map(|(p, _)| (*p, *committed.get(p).or(fresh.get(p)).expect("one of both")))
            .collect();
        let mut taken = Acquired { stopped: lost, ..Acquired::default() };
        if ours.is_empty() {
            return Ok(taken);
        }
        let token = fresh_token();
        self.write_markers(&ours, &offsets, &fresh, token)?;
        let told = self.read_states(&reader, &ours, token)?;
        self.compare_counts(&reader, &told, input_partitions)?;
        let mut adopted = Vec::new();
        for ((partition, epoch), (told, (_, offset))) in ours.iter().zip(told.into_iter().zip(offsets)) {
            let fresh = fresh.contains_key(partition);
            match self.agree(*partition, offset, fresh, &told)? {
                Ok(next) => {
                    if next != offset || told.input_partitions.is_none() {
                        adopted.push((*partition, next));
                    }
                    self.show_latest(&told, next)?;
                    taken.owned.insert(*partition, Owned::new(*epoch, next, told.states));
                }
                Err(why) => {
                    tracing::error!(partition = partition.0, "{why}");
                    taken.stopped.insert(*partition, why);
                }
            }
        }
        self.adopt(&ours, &adopted, input_partitions)?;
        let products: usize = taken.owned.values().map(|owned| owned.states.len()).sum();
        let took = began.elapsed();
        self.options.metrics.acquired(took);
        let took_ms = took.as_millis() as u64;
        tracing::info!(?partitions, products, took_ms, "partitions taken over");
        Ok(taken)
    }

    /// The steps that a dispatcher takes, too.
    fn steps(&mut self) -> Acquisition<'_> {
        let settings = &self.options.settings;
        Acquisition { settings, group: &settings.group, member: self.member, transactions: self.transactions }
    }

    fn abort_hanging(&mut self, held: &[PartitionEpoch]) -> Result<(), Error> {
        let topics = &self.options.settings.topics;
        let written = [&*topics.state, &topics.removals, &topics.notifications, &topics.dead_updates];
        self.steps().abort_hanging(held, &written, |records, partition| {
            push(records, partition, MARKER, b"");
        })
    }

    /// For a member that was given nothing: it may have had something before.
    ///
    /// # Errors
    /// The cluster is away.
    pub fn of_nothing(&mut self) -> Result<(), Error> {
        self.abort_hanging(&[])
    }

    /// Where partitions begin that the group has no offset of; and those whose
    /// offset was lost, with why.
    #[expect(clippy::type_complexity, reason = "two maps by partition")]
    fn first_offsets(
        &self,
        reader: &BaseConsumer<Logged>,
        partitions: &[Partition],
        committed: &BTreeMap<Partition, i64>,
    ) -> Result<(BTreeMap<Partition, i64>, BTreeMap<Partition, String>), Error> {
        let without: Vec<Partition> =
            partitions.iter().filter(|p| !committed.contains_key(p)).copied().collect();
        let (mut first, mut lost) = (BTreeMap::new(), BTreeMap::new());
        if without.is_empty() {
            return Ok((first, lost));
        }
        let state = &self.options.settings.topics.state;
        let (mut positions, mut accepted) = (BTreeMap::new(), BTreeMap::new());
        read_stable(reader, state, &without, |line| {
            match changelog::read_line(state, &line)? {
                Entry::Position(next) => {
                    positions.insert(line.partition, next);
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
            if let Some(next) = accepted.get(&partition) {
                first.insert(partition, *next);
            } else if let Some(next) = positions.get(&partition) {
                lost.insert(partition, self.say_lost(partition, *next));
            } else {
                first.insert(partition, self.first_offset(partition)?);
            }
        }
        Ok((first, lost))
    }

    fn say_lost(&self, partition: Partition, next: i64) -> String {
        format!(
            "group {} has no offset of {}[{}], whose states were stored at offset {next}: it expired, or was \
             deleted; look at what was lost, then say where to go on with {}",
            self.options.settings.group,
            self.options.settings.topics.prices,
            partition.0,
            self.accept_command(partition)
        )
    }

    fn accept_command(&self, partition: Partition) -> String {
        let shadow = if self.options.shadow { " --shadow" } else { "" };
        format!("`pricedrop offsets accept --partition {}{shadow}`", partition.0)
    }

    /// The first offset ever: nobody mails every user by switching it on.
    /// Asked of each partition: workers that begin together have some each.
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

    fn write_markers(
        &mut self,
        held: &[PartitionEpoch],
        offsets: &[(Partition, i64)],
        fresh: &BTreeMap<Partition, i64>,
        token: u64,
    ) -> Result<(), Error> {
        let mut records = Records::default();
        for (partition, offset) in offsets {
            push(&mut records, *partition, MARKER, &token.to_be_bytes());
            if fresh.contains_key(partition) {
                push(&mut records, *partition, POSITION, &offset.to_be_bytes());
            }
        }
        self.write(held, offsets, records)
    }

    fn write(
        &mut self,
        held: &[PartitionEpoch],
        offsets: &[(Partition, i64)],
        records: Records,
    ) -> Result<(), Error> {
        let state = &self.options.settings.topics.state;
        self.steps().write(held, offsets, state, records)
    }

    fn read_states(
        &self,
        reader: &BaseConsumer<Logged>,
        held: &[PartitionEpoch],
        token: u64,
    ) -> Result<Vec<Told>, Error> {
        let partitions: Vec<Partition> = held.iter().map(|(partition, _)| *partition).collect();
        let mut told: BTreeMap<Partition, Told> = BTreeMap::new();
        let topic = &self.options.settings.topics.state;
        let wanted = || self.member.unmoved_since(self.version);
        read_to_markers(reader, topic, &partitions, wanted, |line| {
            let entry = changelog::read_line(topic, &line)?;
            let told = told.entry(line.partition).or_default();
            match entry {
                Entry::State(key, bytes) => {
                    let at = told.states.store(&key, bytes).map_err(|error| {
                        let place = format!("{topic}[{}] at offset {}", line.partition.0, line.offset);
                        Error::Fatal(format!("{place}, product {}: {error}", key.product).into())
                    })?;
                    if self.options.prices.is_some() {
                        told.latest.add(key, at);
                    }
                }
                Entry::Position(next) => {
                    told.position = Some(next);
                    told.accepted = None;
                }
                Entry::Accepted(next) => told.accepted = next,
                Entry::Partitions(count) => told.input_partitions = Some(count),
                Entry::Marker(found) if found == token => return Ok(Read::Done),
                Entry::Marker(_) => {}
            }
            Ok(Read::On)
        })?;
        Ok(partitions.iter().map(|partition| told.remove(partition).unwrap_or_default()).collect())
    }

    /// A partition that is new does not know how many there were: the first one
    /// does, if any does.
    fn compare_counts(&self, reader: &BaseConsumer<Logged>, told: &[Told], now: u32) -> Result<(), Error> {
        let settings = &self.options.settings;
        let mut then: Vec<u32> = told.iter().filter_map(|told| told.input_partitions).collect();
        if then.len() < told.len() {
            then.extend(counted(settings, reader)?);
        }
        match then.into_iter().find(|then| *then != now) {
            Some(then) => {
                let (what, remedy) = words_for_outgrown(then, now);
                Err(Error::Fatal(format!("{} {what}: {remedy}", settings.topics.prices).into()))
            }
            None => Ok(()),
        }
    }

    /// Where to go on, or why somebody has to look.
    fn agree(
        &self,
        partition: Partition,
        offset: i64,
        fresh: bool,
        told: &Told,
    ) -> Result<Result<i64, String>, Error> {
        if let Some(accepted) = told.accepted {
            return Ok(Ok(accepted));
        }
        let (low, high) = self.member.watermarks(partition)?;
        let (topic, number) = (&self.options.settings.topics.prices, partition.0);
        let remedy = format!("then say where to go on with {}", self.accept_command(partition));
        let exact = self.options.delivery.is_exact();
        Ok(match told.position {
            Some(position) if exact && position != offset => Err(format!(
                "{topic}[{number}]: the group is at offset {offset}, and the states were stored at {position}: \
                 somebody changed one of them; look which is right, {remedy}"
            )),
            None if exact && !fresh => Err(format!(
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

    /// Makes accepted offsets the group's own, and stores how many partitions
    /// there are.
    fn adopt(
        &mut self,
        held: &[PartitionEpoch],
        adopted: &[(Partition, i64)],
        count: u32,
    ) -> Result<(), Error> {
        if adopted.is_empty() {
            return Ok(());
        }
        let held: Vec<PartitionEpoch> =
            held.iter().filter(|(p, _)| adopted.iter().any(|(one, _)| one == p)).copied().collect();
        let mut records = Records::default();
        for (partition, offset) in adopted {
            push(&mut records, *partition, POSITION, &offset.to_be_bytes());
            push(&mut records, *partition, PARTITIONS, &count.to_be_bytes());
            records.push(partition.0, ACCEPTED, |_| Value::Tombstone);
        }
        self.write(&held, adopted, records)
    }

    /// Prices that a worker may have committed without showing them: it died.
    fn show_latest(&self, told: &Told, next: i64) -> Result<(), Error> {
        let Some(prices) = &self.options.prices else { return Ok(()) };
        let rows = told.latest.keys().into_iter().map(|key| told.states.price(key, next));
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
