//! Archives one topic: reads its partitions and appends objects to their chains.
//!
//! Invariant: a partition is read from the end of its chain in the bucket, never from a committed
//! group offset. Records that are not in the bucket yet are read again after a crash, so a crash
//! loses no record. Records are in memory until their object is closed: by size, by age, or because
//! the open objects together exceed the memory limit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pricedrop_model::archive::{ArchiveSource, ArchivedRecord};
use pricedrop_model::{Clock, Partition};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::assigned::{Assigned, Open, State};
use crate::bucket::Bucket;
use crate::chain::{Appended, Chain};
use crate::error::Error;
use crate::metrics::{Metrics, PartitionMetrics};
use crate::name::{Range, Source};
use crate::object::{Builder, Closed};
use crate::pause::Pauses;

/// Longest time that one read waits for records, milliseconds.
const POLL_MS: u64 = 200;
/// Interval between measurements of the lag.
const MEASURE_EVERY: Duration = Duration::from_secs(5);

/// The limits at which objects are closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Size at which an object is closed, compressed bytes.
    pub object_bytes: usize,
    /// Time from the first record (or offset without a record) of an object until it is closed,
    /// milliseconds.
    pub object_age_ms: u64,
    /// Maximum memory of all open objects of the topic, compressed bytes. If they exceed it, the
    /// largest object is closed.
    pub memory_bytes: usize,
}

/// Archives one topic; see [`Archiver::run`].
pub struct Archiver {
    /// The topic that is archived.
    pub source: Box<dyn ArchiveSource>,
    /// The bucket that receives the objects.
    pub bucket: Bucket,
    /// The group that owns the archive.
    pub group: String,
    /// The limits at which objects are closed.
    pub limits: Limits,
    /// The wall clock. It gives the age of records that were written before a start.
    pub clock: Arc<dyn Clock>,
    /// The metrics of all topics.
    pub metrics: Arc<Metrics>,
    /// Becomes true when the archiver must stop.
    pub stop: watch::Receiver<bool>,
}

/// Returns the reason why the chain belongs to another topic than the one with this id; none if it
/// does not, or if either id is unknown.
fn other_id(chain: &Chain, id: Option<&str>) -> Option<String> {
    let (of_chain, id) = (chain.topic_id()?, id?);
    (of_chain != id).then(|| format!("its id is {id}, and the archive is of the topic {of_chain}"))
}

/// The archiver was asked to stop.
struct Stopped;

/// A running archiver.
struct Running<'a> {
    archiver: Archiver,
    runtime: &'a Handle,
    partitions: BTreeMap<Partition, Assigned>,
    /// Whether the source must seek: its read positions are not those of the open partitions.
    is_misplaced: bool,
    /// Whether the end of the topic was reached since the last partition was opened.
    was_at_end: bool,
    measured: Option<Instant>,
}

impl Archiver {
    /// Archives until `stop` is true. It blocks, so it needs its own thread, and a runtime for its
    /// requests to the bucket.
    pub fn run(self, runtime: &Handle) {
        let mut running = Running {
            archiver: self,
            runtime,
            partitions: BTreeMap::new(),
            is_misplaced: true,
            was_at_end: false,
            measured: None,
        };
        let mut pauses = Pauses::default();
        loop {
            match running.step() {
                Err(Stopped) => break,
                Ok(Ok(())) => {
                    running.report_client_errors();
                    pauses = Pauses::default();
                }
                Ok(Err(error)) => {
                    running.failed(&error);
                    if running.sleep(pauses.after(&error)).is_err() {
                        break;
                    }
                }
            }
        }
    }
}

impl Running<'_> {
    /// Reads one batch and closes the objects that are due. A returned error concerns the whole
    /// topic; an error of one partition stops only that partition.
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
                return Ok(Err(Error::Topic(error.into_cause())));
            }
            self.is_misplaced = false;
        }
        let batch = match self.archiver.source.next_batch(POLL_MS) {
            Ok(batch) => batch,
            Err(error) => {
                // Records that were read are archived first. Then every partition is opened again.
                let filled: Vec<Partition> = self.filled().map(|(partition, _)| partition).collect();
                for partition in filled {
                    if let Err(error) = self.close(partition)? {
                        return Ok(Err(error));
                    }
                }
                // Failed partitions keep the time of their next attempt.
                self.partitions.retain(|_, ours| matches!(ours.state, State::Failed { .. }));
                self.is_misplaced = true;
                return Ok(Err(Error::Topic(error.into_cause())));
            }
        };
        let is_first_end = batch.is_empty() && !self.was_at_end;
        self.was_at_end |= batch.is_empty();
        let is_at_end = batch.is_empty();
        for (partition, record) in batch {
            self.take(partition, record);
        }
        if is_at_end {
            self.pass();
        }
        while let Some(partition) = self.due(is_first_end) {
            if self.is_another_topic(partition) {
                continue;
            }
            if let Err(error) = self.close(partition)? {
                return Ok(Err(error));
            }
        }
        self.measure();
        Ok(Ok(()))
    }

    /// Opens partitions that are newly assigned or due for another attempt, and drops those that
    /// were revoked.
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
            self.archiver.metrics.partition(&topic, partition).released();
            self.is_misplaced = true;
        }
        for (partition, epoch) in assigned {
            let pauses = match self.partitions.get(&partition) {
                Some(Assigned { state: State::Open(_), .. }) => continue,
                Some(Assigned { state: State::Failed { again_at }, .. }) if Instant::now() < *again_at => {
                    continue;
                }
                Some(Assigned { pauses, .. }) => *pauses,
                None => Pauses::default(),
            };
            if *self.archiver.stop.borrow() {
                return Err(Stopped);
            }
            let metrics = self.archiver.metrics.partition(&topic, partition);
            let ours = match self.open_partition(partition, &metrics)? {
                Ok(open) => {
                    self.is_misplaced = true;
                    self.was_at_end = false;
                    Assigned::open(epoch, pauses, open)
                }
                Err(error) => {
                    metrics.failed(&error);
                    Assigned::failed(epoch, pauses, &error)
                }
            };
            self.partitions.insert(partition, ours);
        }
        Ok(())
    }

    fn open_partition(
        &mut self,
        partition: Partition,
        metrics: &Arc<PartitionMetrics>,
    ) -> Result<Result<Open, Error>, Stopped> {
        let source = self.source_of(partition);
        let (first, end) = match self.archiver.source.offsets(partition) {
            Ok(offsets) => offsets,
            Err(error) => return Ok(Err(Error::Topic(error.into_cause()))),
        };
        let id = match self.archiver.source.topic_id() {
            Ok(id) => id,
            Err(error) => return Ok(Err(Error::Topic(error.into_cause()))),
        };
        let bucket = self.archiver.bucket.clone();
        let opened = self.wait_for(async {
            let mut chain = Chain::open(&bucket, source.clone()).await?;
            chain.begin(first, id.as_deref()).await?;
            while chain.next().is_some_and(|next| next < first) && chain.adopt().await? {}
            Ok(chain)
        })?;
        let chain = match opened {
            Ok(chain) => chain,
            Err(error) => return Ok(Err(error)),
        };
        let next = chain.next().expect("a chain has a next offset once it has begun");
        metrics.next.set(next);
        metrics.lag.set((end - next).max(0));
        if let Some(reason) = other_id(&chain, id.as_deref()) {
            return Ok(Err(Error::OtherTopic { source_: source, reason }));
        }
        if end < next {
            let reason = format!("it ends before offset {end}, and the archive before {next}");
            return Ok(Err(Error::OtherTopic { source_: source, reason }));
        }
        if first > next {
            return Ok(Err(Error::Lost { source_: source, range: Range { first: next, last: first - 1 } }));
        }
        let check = chain.last_record().filter(|last| last.offset >= first);
        Ok(Ok(Open { chain, builder: Builder::new(next), check, metrics: Arc::clone(metrics) }))
    }

    fn open(&self) -> impl Iterator<Item = (Partition, &Open)> {
        self.partitions.iter().filter_map(|(partition, ours)| match &ours.state {
            State::Open(open) => Some((*partition, &**open)),
            State::Failed { .. } => None,
        })
    }

    /// The objects that cover at least one offset.
    fn filled(&self) -> impl Iterator<Item = (Partition, &Builder)> {
        self.open()
            .map(|(partition, open)| (partition, &open.builder))
            .filter(|(_, builder)| !builder.is_empty())
    }

    fn open_mut(&mut self, partition: Partition) -> Option<&mut Open> {
        self.partitions.get_mut(&partition)?.opened()
    }

    /// Adds a record to its partition's object.
    fn take(&mut self, partition: Partition, record: ArchivedRecord) {
        let Some(ours) = self.partitions.get_mut(&partition) else { return };
        if let Err(reason) = ours.take(record) {
            self.fail(partition, &Error::OtherTopic { source_: self.source_of(partition), reason });
        }
    }

    /// Extends every object up to the offset that was read, across offsets that hold no record.
    fn pass(&mut self) {
        // The source's positions mean nothing until it has done the seek.
        if self.is_misplaced {
            return;
        }
        for (partition, ours) in &mut self.partitions {
            if let Some(offset) = self.archiver.source.passed(*partition) {
                ours.pass(offset);
            }
        }
    }

    /// Returns whether the topic was deleted and created again since the archive began, and stops
    /// the partition if so. The object's records were read before this check, so no record of the
    /// new topic is archived.
    fn is_another_topic(&mut self, partition: Partition) -> bool {
        // A topic that does not exist or cannot be described was not replaced yet.
        let Ok(Some(id)) = self.archiver.source.topic_id() else { return false };
        let Some(chain) = self.open_mut(partition).map(|open| &open.chain) else { return false };
        let Some(reason) = other_id(chain, Some(&id)) else { return false };
        self.fail(partition, &Error::OtherTopic { source_: self.source_of(partition), reason });
        true
    }

    fn source_of(&self, partition: Partition) -> Source {
        Source { topic: self.archiver.source.topic().to_owned(), partition: partition.0 }
    }

    /// Returns a partition whose object must be closed now.
    fn due(&self, is_first_end: bool) -> Option<Partition> {
        let limits = &self.archiver.limits;
        let age = Duration::from_millis(limits.object_age_ms);
        let now_ms = self.archiver.clock.now().0;
        let is_due = |builder: &Builder| {
            let age_ms = u64::try_from(now_ms.saturating_sub(builder.first_timestamp_ms())).unwrap_or(0);
            // After a start, an object with old records is closed at the end of the topic.
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

    /// Appends a partition's object to its chain. Transient errors are retried as long as the
    /// partition is assigned. Any other error stops the partition and drops the object; its records
    /// are read again.
    fn close(&mut self, partition: Partition) -> Result<Result<(), Error>, Stopped> {
        let Some(Assigned { epoch, state: State::Open(open), pauses }) = self.partitions.remove(&partition)
        else {
            return Ok(Ok(()));
        };
        let Open { mut chain, builder, check, metrics } = *open;
        let closed = builder.close();
        let mut between = Pauses::default();
        let appended = loop {
            match self.wait_for(chain.append_closed(&closed))? {
                Err(error) if error.is_transient() => {
                    metrics.failed(&error);
                    self.sleep(between.after(&error))?;
                    // The worker that has the partition now reads its records again.
                    if !self.archiver.source.assigned().contains(&(partition, epoch)) {
                        metrics.released();
                        self.is_misplaced = true;
                        return Ok(Ok(()));
                    }
                }
                ended => break ended,
            }
        };
        match appended {
            Ok(appended) => {
                metrics.recovered();
                let next = chain.next().expect("a chain that was appended to has a next offset");
                metrics.next.set(next);
                match appended {
                    Appended::Ours => {
                        if let Closed::Object(object) = &closed {
                            metrics.objects.inc();
                            metrics.records.inc_by(object.records);
                            metrics.bytes.inc_by(object.bytes.len() as u64);
                        }
                    }
                    Appended::Theirs => {
                        metrics.conflicts.inc();
                        self.is_misplaced = true;
                    }
                }
                self.archiver.source.archived(partition, next);
                let open = Open { chain, builder: Builder::new(next), check, metrics };
                self.partitions.insert(partition, Assigned::open(epoch, pauses, open));
            }
            Err(error) => {
                metrics.failed(&error);
                self.partitions.insert(partition, Assigned::failed(epoch, pauses, &error));
                self.is_misplaced = true;
            }
        }
        Ok(Ok(()))
    }

    /// Stops a partition until its next attempt. The other partitions continue.
    fn fail(&mut self, partition: Partition, error: &Error) {
        self.archiver.metrics.partition(self.archiver.source.topic(), partition).failed(error);
        if let Some(ours) = self.partitions.get_mut(&partition) {
            *ours = Assigned::failed(ours.epoch, ours.pauses, error);
            self.is_misplaced = true;
        }
    }

    /// Reports the source's trouble, such as a failing assignment, or that the topic recovered.
    fn report_client_errors(&mut self) {
        let topic = self.archiver.source.topic().to_owned();
        match self.archiver.source.trouble() {
            Some(trouble) => self.failed(&Error::Topic(trouble.into())),
            None => self.archiver.metrics.recovered(&topic),
        }
    }

    fn failed(&mut self, error: &Error) {
        self.archiver.metrics.failed(self.archiver.source.topic(), error);
    }

    /// Sets the lag of every open partition, at most once in [`MEASURE_EVERY`].
    fn measure(&mut self) {
        if self.measured.is_some_and(|at| at.elapsed() < MEASURE_EVERY) {
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
                open.metrics.lag.set((end - next).max(0));
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
        // The timer must be created inside the runtime.
        self.wait_for(async { tokio::time::sleep(pause).await })
    }
}
