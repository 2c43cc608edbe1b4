//! Archives one topic: reads its partitions and appends objects to their chains.
//!
//! A partition is read from the end of its chain, never from an offset that the group
//! committed: what the bucket does not hold is read again. A record is in memory only
//! until its object is closed, by size, by age, or because all objects together take
//! too much memory; a crash loses nothing but that work.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use pricedrop_model::archive::{ArchiveSource, ArchivedRecord};
use pricedrop_model::{Clock, Partition};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::bucket::Bucket;
use crate::chain::{Appended, Chain};
use crate::counters::{Counters, PartitionCounters};
use crate::error::Error;
use crate::name::{Range, Source};
use crate::object::{Builder, sha256};
use crate::record::Line;

/// How long a read waits for records, milliseconds.
const POLL_MS: u64 = 200;
/// First pause after an error; it doubles up to the longest.
const PAUSE_FIRST: Duration = Duration::from_millis(200);
/// Longest pause after an error.
const PAUSE_LONGEST: Duration = Duration::from_secs(10);
/// How often a partition that is stopped is looked at again, and lags are measured.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The pause after the next error in a row.
fn longer(pause: Duration) -> Duration {
    (pause * 2).min(PAUSE_LONGEST)
}

/// When objects are closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// An object is closed at this size, compressed bytes.
    pub object_bytes: usize,
    /// An object is closed this long after its first record, milliseconds.
    pub object_age_ms: u64,
    /// All open objects of a topic take at most this, compressed bytes; then the largest
    /// is closed.
    pub memory_bytes: usize,
}

/// Archives one topic.
pub struct Archiver {
    /// What is archived.
    pub source: Box<dyn ArchiveSource>,
    /// Where to.
    pub bucket: Bucket,
    /// Whose archive it is.
    pub group: String,
    /// When objects are closed.
    pub limits: Limits,
    /// Wall time, for the age of objects.
    pub clock: Arc<dyn Clock>,
    /// What it counts.
    pub counters: Arc<Counters>,
    /// Turns true when it is to end.
    pub stop: watch::Receiver<bool>,
}

/// A partition of this archiver.
struct Assigned {
    epoch: u64,
    state: State,
}

enum State {
    Open(Box<Open>),
    /// It is tried again at this time.
    Failed {
        again_at: Instant,
        pause: Duration,
    },
}

/// A partition that is being archived.
struct Open {
    chain: Chain,
    builder: Builder,
    /// The archive's last record, until it was compared with the topic's.
    check: Option<Check>,
    counters: Arc<PartitionCounters>,
}

/// The last record of the archive, which the topic must hold too.
struct Check {
    offset: i64,
    sha256: String,
}

impl Open {
    /// Where its topic is read on.
    fn position(&self) -> i64 {
        self.check.as_ref().map_or_else(|| self.builder.next(), |check| check.offset)
    }
}

/// It was told to stop.
struct Stopped;

/// A running archiver.
struct Running<'a> {
    archiver: Archiver,
    runtime: &'a Handle,
    partitions: BTreeMap<Partition, Assigned>,
    /// Whether the source does not read what it should.
    is_misplaced: bool,
    /// Whether the end of the topic was reached since partitions were opened.
    was_at_end: bool,
    measured: Option<Instant>,
}

impl Archiver {
    /// Archives until it is told to stop. It blocks: give it a thread of its own, and a
    /// runtime for its requests.
    pub fn run(self, runtime: &Handle) {
        let mut running = Running {
            archiver: self,
            runtime,
            partitions: BTreeMap::new(),
            is_misplaced: true,
            was_at_end: false,
            measured: None,
        };
        let mut pause = PAUSE_FIRST;
        loop {
            match running.step() {
                Err(Stopped) => break,
                Ok(Ok(())) => {
                    running.archiver.counters.recovered(running.archiver.source.topic());
                    pause = PAUSE_FIRST;
                }
                Ok(Err(error)) => {
                    running.failed(&error);
                    if running.sleep(pause).is_err() {
                        break;
                    }
                    pause = longer(pause);
                }
            }
        }
    }
}

impl Running<'_> {
    /// Reads what there is and closes what is due. An error is one of the whole topic.
    fn step(&mut self) -> Result<Result<(), Error>, Stopped> {
        let (bucket, group) = (self.archiver.bucket.clone(), self.archiver.group.clone());
        if let Err(error) = self.wait_for(bucket.claim(&group))? {
            return Ok(Err(error));
        }
        self.take_assigned()?;
        if self.is_misplaced {
            let positions: Vec<(Partition, i64)> =
                self.open().map(|(partition, open)| (partition, open.position())).collect();
            if let Err(error) = self.archiver.source.read_from(&positions) {
                return Ok(Err(Error::Topic(error.to_string())));
            }
            self.is_misplaced = false;
        }
        let batch = match self.archiver.source.next_batch(POLL_MS) {
            Ok(batch) => batch,
            Err(error) => {
                // What was read is kept; where the topic is read from is looked at anew.
                let filled: Vec<Partition> = self.filled().map(|(partition, _)| partition).collect();
                for partition in filled {
                    if let Err(error) = self.close(partition)? {
                        return Ok(Err(error));
                    }
                }
                self.partitions.clear();
                self.is_misplaced = true;
                return Ok(Err(Error::Topic(error.to_string())));
            }
        };
        let is_first_end = batch.is_empty() && !self.was_at_end;
        self.was_at_end |= batch.is_empty();
        for (partition, record) in batch {
            self.take(partition, record);
        }
        while let Some(partition) = self.due(is_first_end) {
            if let Err(error) = self.close(partition)? {
                return Ok(Err(error));
            }
        }
        self.measure();
        Ok(Ok(()))
    }

    /// Opens the partitions that are new, and lets go of those that are somebody else's.
    fn take_assigned(&mut self) -> Result<(), Stopped> {
        let assigned: BTreeMap<Partition, u64> = self.archiver.source.assigned().into_iter().collect();
        let topic = self.archiver.source.topic().to_owned();
        let lost: Vec<Partition> = self
            .partitions
            .iter()
            .filter(|(partition, ours)| assigned.get(partition) != Some(&ours.epoch))
            .map(|(partition, _)| *partition)
            .collect();
        for partition in lost {
            self.partitions.remove(&partition);
            self.archiver.counters.partition(&topic, partition).released();
            self.is_misplaced = true;
        }
        for (partition, epoch) in assigned {
            let pause = match self.partitions.get(&partition).map(|ours| &ours.state) {
                Some(State::Open(_)) => continue,
                Some(State::Failed { again_at, .. }) if Instant::now() < *again_at => continue,
                Some(State::Failed { pause, .. }) => longer(*pause),
                None => PAUSE_FIRST,
            };
            if *self.archiver.stop.borrow() {
                return Err(Stopped);
            }
            let counters = self.archiver.counters.partition(&topic, partition);
            let state = match self.open_partition(partition, &counters)? {
                Ok(open) => {
                    if open.check.is_none() {
                        counters.recovered();
                    }
                    self.is_misplaced = true;
                    self.was_at_end = false;
                    State::Open(Box::new(open))
                }
                Err(error) => {
                    counters.failed(&error);
                    State::Failed { again_at: Instant::now() + pause, pause }
                }
            };
            self.partitions.insert(partition, Assigned { epoch, state });
        }
        Ok(())
    }

    fn open_partition(
        &mut self,
        partition: Partition,
        counters: &Arc<PartitionCounters>,
    ) -> Result<Result<Open, Error>, Stopped> {
        let source = Source { topic: self.archiver.source.topic().to_owned(), partition: partition.0 };
        let (first, end) = match self.archiver.source.offsets(partition) {
            Ok(offsets) => offsets,
            Err(error) => return Ok(Err(Error::Topic(error.to_string()))),
        };
        let bucket = self.archiver.bucket.clone();
        let opened = self.wait_for(async {
            let mut chain = Chain::open(&bucket, source.clone()).await?;
            chain.begin(first).await?;
            Ok(chain)
        })?;
        let chain = match opened {
            Ok(chain) => chain,
            Err(error) => return Ok(Err(error)),
        };
        let next = chain.next().expect("a chain has a next offset once it has begun");
        counters.next.store(next, Relaxed);
        counters.lag.store((end - next).max(0), Relaxed);
        if end < next {
            let reason = format!("it ends before offset {end}, and the archive before {next}");
            return Ok(Err(Error::OtherTopic { source_: source, reason }));
        }
        if first > next {
            return Ok(Err(Error::Lost { source_: source, range: Range { first: next, last: first - 1 } }));
        }
        let last = chain.last().and_then(|link| Some((link.last, link.object.as_ref()?)));
        let check = last
            .filter(|(offset, _)| *offset >= first)
            .map(|(offset, object)| Check { offset, sha256: object.last_line_sha256.clone() });
        Ok(Ok(Open { chain, builder: Builder::new(next), check, counters: Arc::clone(counters) }))
    }

    fn open(&self) -> impl Iterator<Item = (Partition, &Open)> {
        self.partitions.iter().filter_map(|(partition, ours)| match &ours.state {
            State::Open(open) => Some((*partition, &**open)),
            State::Failed { .. } => None,
        })
    }

    /// The objects that hold records.
    fn filled(&self) -> impl Iterator<Item = (Partition, &Builder)> {
        self.open()
            .map(|(partition, open)| (partition, &open.builder))
            .filter(|(_, builder)| !builder.is_empty())
    }

    fn open_mut(&mut self, partition: Partition) -> Option<&mut Open> {
        match &mut self.partitions.get_mut(&partition)?.state {
            State::Open(open) => Some(open),
            State::Failed { .. } => None,
        }
    }

    /// Adds a record to its object; the archive's last one is only compared.
    fn take(&mut self, partition: Partition, record: ArchivedRecord) {
        let Some(open) = self.open_mut(partition) else { return };
        let Some(check) = open.check.take() else {
            if record.offset >= open.builder.next() {
                open.builder.push(record);
            }
            return;
        };
        let offset = record.offset;
        // The topic may have removed the record since: then there is nothing to compare.
        if offset == check.offset && sha256(&Line::Record(record.clone()).to_json()) != check.sha256 {
            let reason = format!("its record at offset {offset} is not the one in the archive");
            let source_ = Source { topic: self.archiver.source.topic().to_owned(), partition: partition.0 };
            return self.fail(partition, &Error::OtherTopic { source_, reason });
        }
        open.counters.recovered();
        if offset >= open.builder.next() {
            open.builder.push(record);
        }
    }

    /// An object that is to be closed.
    fn due(&self, is_first_end: bool) -> Option<Partition> {
        let limits = &self.archiver.limits;
        let age = Duration::from_millis(limits.object_age_ms);
        let now_ms = self.archiver.clock.now().0;
        let is_due = |builder: &Builder| {
            let age_ms = u64::try_from(now_ms.saturating_sub(builder.first_timestamp_ms())).unwrap_or(0);
            // After a start, records that are old already are closed at the end of the topic.
            let is_old = builder.age() >= age || (is_first_end && age_ms >= limits.object_age_ms);
            builder.bytes() >= limits.object_bytes || is_old
        };
        let mut filled: Vec<(Partition, &Builder)> = self.filled().collect();
        if let Some((partition, _)) = filled.iter().find(|(_, builder)| is_due(builder)) {
            return Some(*partition);
        }
        filled.sort_by_key(|(_, builder)| builder.bytes());
        let all: usize = filled.iter().map(|(_, builder)| builder.bytes()).sum();
        filled.last().filter(|_| all > limits.memory_bytes).map(|(partition, _)| *partition)
    }

    /// Appends a partition's object to its chain. The object stays when that fails, and
    /// is appended again.
    fn close(&mut self, partition: Partition) -> Result<Result<(), Error>, Stopped> {
        let Some(Assigned { epoch, state: State::Open(open) }) = self.partitions.remove(&partition) else {
            return Ok(Ok(()));
        };
        let Open { mut chain, builder, check, counters } = *open;
        let object = builder.finish();
        let mut pause = PAUSE_FIRST;
        let appended = loop {
            match self.wait_for(chain.append(&object))? {
                Err(error) if error.is_transient() => {
                    counters.failed(&error);
                    self.sleep(pause)?;
                    pause = longer(pause);
                    // Whoever has it now reads it again.
                    if !self.archiver.source.assigned().contains(&(partition, epoch)) {
                        counters.released();
                        self.is_misplaced = true;
                        return Ok(Ok(()));
                    }
                }
                ended => break ended,
            }
        };
        match appended {
            Ok(appended) => {
                counters.recovered();
                let next = chain.next().expect("a chain that was appended to has a next offset");
                counters.next.store(next, Relaxed);
                match appended {
                    Appended::Ours => {
                        counters.objects.fetch_add(1, Relaxed);
                        counters.records.fetch_add(object.records, Relaxed);
                        counters.bytes.fetch_add(object.bytes.len() as u64, Relaxed);
                    }
                    Appended::Theirs => {
                        counters.conflicts.fetch_add(1, Relaxed);
                        self.is_misplaced = true;
                    }
                }
                self.archiver.source.archived(partition, next);
                let open = Open { chain, builder: Builder::new(next), check, counters };
                self.partitions.insert(partition, Assigned { epoch, state: State::Open(Box::new(open)) });
            }
            Err(error) => {
                counters.failed(&error);
                let state = State::Failed { again_at: Instant::now() + LOOK_EVERY, pause: LOOK_EVERY };
                self.partitions.insert(partition, Assigned { epoch, state });
                self.is_misplaced = true;
            }
        }
        Ok(Ok(()))
    }

    /// Stops a partition; the others go on.
    fn fail(&mut self, partition: Partition, error: &Error) {
        self.archiver.counters.partition(self.archiver.source.topic(), partition).failed(error);
        if let Some(ours) = self.partitions.get_mut(&partition) {
            ours.state = State::Failed { again_at: Instant::now() + LOOK_EVERY, pause: LOOK_EVERY };
            self.is_misplaced = true;
        }
    }

    fn failed(&mut self, error: &Error) {
        self.archiver.counters.failed(self.archiver.source.topic(), error);
    }

    /// How far the archive lags.
    fn measure(&mut self) {
        if self.measured.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
            return;
        }
        self.measured = Some(Instant::now());
        let open: Vec<Partition> = self.open().map(|(partition, _)| partition).collect();
        for partition in open {
            if *self.archiver.stop.borrow() {
                return;
            }
            let Ok((_, end)) = self.archiver.source.offsets(partition) else { return };
            if let Some(open) = self.open_mut(partition) {
                let next = open.chain.next().unwrap_or(end);
                open.counters.lag.store((end - next).max(0), Relaxed);
            }
        }
    }

    fn wait_for<T>(&self, work: impl Future<Output = T>) -> Result<T, Stopped> {
        let mut stop = self.archiver.stop.clone();
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => Err(Stopped),
                done = work => Ok(done),
            }
        })
    }

    fn sleep(&self, pause: Duration) -> Result<(), Stopped> {
        // Made within the runtime, or there is no timer for it.
        self.wait_for(async { tokio::time::sleep(pause).await })
    }
}
