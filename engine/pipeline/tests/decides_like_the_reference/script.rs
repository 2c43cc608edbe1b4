//! The input and the watches of a run. Both come from a history. The script adds further events
//! of the history only after all earlier records are committed.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use pricedrop_memory::{MemoryCommitter, MemoryWatches};
use pricedrop_model::ports::{Committer, Error, Outcome, UpdateSource};
use pricedrop_model::{
    Clock, Currency, EventTime, FanOutBlock, Partition, Position, Price, ProductId, Record, Update, UserId,
    WallTime, Watch,
};
use pricedrop_testing::history::{History, billionths_text};
use pricedrop_testing::reference::Event;

use crate::faults::Lots;
use crate::group::Member;
use crate::harness::{Dice, SetClock};
use crate::journal::Journal;

/// Limit of reads of the input: a history that needs more makes no progress, however often its
/// partitions are reassigned before a commit.
const MOST_TURNS: usize = 4_000_000;

/// A history, and how far it has been read.
pub struct Script {
    events: std::vec::IntoIter<Event>,
    /// All records, each with its wall time in epoch milliseconds.
    records: Vec<(Record, i64)>,
    /// The records of each partition in order, as indexes into `records`.
    partitions: Vec<Vec<usize>>,
    /// The number of records that the input has so far.
    grown: usize,
    /// The offset of the next record to return, by partition.
    next: Vec<i64>,
    /// The outcomes of records, as far as they were reported.
    pub settled: Vec<(i64, Outcome)>,
    dice: Dice,
    round_decimals: Option<u8>,
    turns: usize,
    world: World,
}

/// The stores and the clock that a script drives.
#[derive(Clone)]
pub struct World {
    /// The committed state.
    pub committed: MemoryCommitter,
    /// The watches.
    pub watches: Arc<MemoryWatches>,
    /// The wall clock.
    pub clock: Arc<SetClock>,
    /// The events of the run.
    pub journal: Arc<Mutex<Journal>>,
}

impl Script {
    /// Continues at these offsets.
    pub fn go_back(&mut self, offsets: &[(Partition, i64)]) {
        for (partition, next) in offsets {
            self.next[partition.0 as usize] = *next;
        }
    }

    /// Spreads the products of a history over partitions.
    pub fn new(history: &History, partitions: usize, seed: u64, world: World) -> Script {
        let mut script = Script {
            records: Vec::new(),
            partitions: vec![Vec::new(); partitions],
            events: history.events.clone().into_iter(),
            grown: 0,
            next: vec![0; partitions],
            settled: Vec::new(),
            dice: Dice(seed),
            turns: 0,
            round_decimals: history.rules.round_decimals,
            world,
        };
        for event in &history.events {
            if let Event::Record { key, value, timestamp_ms, wall_ms } = event {
                let (key, value) = (key.clone().map(Into::into), value.clone().map(Into::into));
                let position = Position { partition: Partition(0), offset: 0 };
                let record =
                    Record { position, key, value, timestamp: EventTime(*timestamp_ms), original: None };
                script.append(record, *wall_ms);
            }
        }
        script
    }

    fn append(&mut self, mut record: Record, wall_ms: i64) {
        let index = self.records.len();
        let partition = partition_of(&record, index, self.partitions.len());
        let offset = self.partitions[partition].len() as i64;
        record.position = Position { partition: Partition(partition as i32), offset };
        self.partitions[partition].push(index);
        self.records.push((record, wall_ms));
    }

    /// Returns the index of the record at this position.
    pub fn index_of(&self, position: Position) -> usize {
        self.partitions[position.partition.0 as usize][position.offset as usize]
    }

    /// Checks that a notification has the fields of its update.
    pub fn assert_fields(&self, block: &FanOutBlock) {
        let (record, wall_ms) = &self.records[self.index_of(block.priced.position)];
        let update = Update::parse(record.value.as_ref().unwrap(), self.round_decimals).unwrap();
        assert_eq!(block.priced, update.priced(record, WallTime(*wall_ms)));
        assert!(!block.told.is_empty());
    }

    /// Returns whether every record is committed.
    pub fn is_through(&self) -> bool {
        self.grown == self.records.len() && self.is_committed()
    }

    /// Returns how many records of a partition the input has so far.
    fn end(&self, partition: usize) -> i64 {
        self.partitions[partition].partition_point(|index| *index < self.grown) as i64
    }

    /// Returns whether every record that the input has so far is committed.
    fn is_committed(&self) -> bool {
        let stored = self.world.committed.with(|committed| committed.offsets.clone());
        let committed =
            |partition| stored.get(&Partition(partition as i32)).copied().unwrap_or(0) == self.end(partition);
        (0..self.partitions.len()).all(committed)
    }

    /// Returns the next records. `idle`: no fan-out is unfinished, and no decision is uncommitted.
    fn next_batch(&mut self, most: usize, idle: bool, of: &[usize]) -> Option<Vec<Record>> {
        self.turns += 1;
        assert!(self.turns < MOST_TURNS, "no progress");
        if idle && self.is_committed() && !self.grow() {
            return None;
        }
        let mut batch = Vec::new();
        for &partition in of {
            let (next, end) = (self.next[partition], self.end(partition));
            let ready = ((end - next) as usize).min(most - batch.len());
            let some = (self.dice.roll(ready as u64 + 1) as usize).max(1).min(ready);
            let records = &self.partitions[partition][next as usize..next as usize + some];
            batch.extend(records.iter().map(|index| self.records[*index].0.clone()));
            self.next[partition] += some as i64;
        }
        Some(batch)
    }

    /// Adds the next records that share one wall time; returns false at the end of the history.
    fn grow(&mut self) -> bool {
        let before = self.grown;
        loop {
            match self.events.as_slice().first() {
                None => return self.grown > before,
                Some(Event::Record { .. }) => {
                    let wall_ms = self.records[self.grown].1;
                    if self.grown > before && wall_ms != self.world.clock.now().0 {
                        return true;
                    }
                    self.world.clock.set(wall_ms);
                    self.grown += 1;
                }
                Some(_) if self.grown > before => return true,
                Some(event) => self.world.change(event),
            }
            self.events.next();
        }
    }
}

/// Returns the partition of a record; all records of a product are in one.
fn partition_of(record: &Record, index: usize, partitions: usize) -> usize {
    let product = record.value.as_ref().and_then(|value| Update::product_of(value));
    let name = product.map(|product| product.to_string().into_bytes());
    let name = name.or_else(|| record.key.as_ref().map(|key| key.to_vec()));
    let sum = |name: Vec<u8>| name.iter().fold(7usize, |sum, byte| sum * 31 % 1_000_003 + usize::from(*byte));
    name.map_or(index, sum) % partitions
}

impl World {
    /// Changes the watches.
    fn change(&self, event: &Event) {
        self.journal.lock().unwrap().changed(event);
        let price = |billionths: i128| Price::parse(&billionths_text(billionths)).unwrap();
        match event {
            Event::Put { product, user, threshold, mode, currency, at } => {
                self.watches.insert(Watch {
                    product_id: ProductId::new(product).unwrap(),
                    price_watch_value: price(*threshold),
                    user_id: UserId::new(user).unwrap(),
                    mode: *mode,
                    currency: currency.as_deref().map(|code| Currency::new(code).unwrap()),
                    updated_at: at.map(WallTime),
                });
            }
            Event::Delete { product, user, threshold, .. } => {
                let (product, user) = (ProductId::new(product).unwrap(), UserId::new(user).unwrap());
                self.watches.remove(&product, price(*threshold), &user);
            }
            Event::ApplyRemovals => {
                let removals = self.committed.with(|committed| std::mem::take(&mut committed.removals));
                self.watches.remove_versions(&removals);
            }
            Event::Record { .. } => {}
        }
    }
}

/// The update source of a member: returns the records of its partitions.
pub struct Source {
    pub script: Arc<Mutex<Script>>,
    pub lots: Lots,
    pub member: Member,
}

#[async_trait]
impl UpdateSource for Source {
    async fn next_batch(&mut self, most: usize, wait_ms: u64) -> Result<Option<Vec<Record>>, Error> {
        self.lots.unavailable_or_moved()?;
        tokio::task::yield_now().await;
        let partitions = self.member.partitions()?;
        let mut committed = self.script.lock().unwrap().world.committed.clone();
        let unfinished = committed.restore().await?.unfinished;
        let telling = unfinished.iter().any(|(_, state)| state.fan_out.is_some());
        // A notifier that has work to do does not wait.
        let idle = wait_ms > 0 && !telling;
        let next = self.script.lock().unwrap().next_batch(most, idle, &partitions);
        Ok(next)
    }

    fn settled(&mut self, outcomes: Vec<(Position, Outcome)>) {
        let mut script = self.script.lock().unwrap();
        for (position, outcome) in outcomes {
            let index = script.index_of(position) as i64;
            script.settled.push((index, outcome));
        }
    }
}
