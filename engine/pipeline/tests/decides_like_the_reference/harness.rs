//! Runs a history through the notifier over the seams in memory.
//!
//! The source drives: when everything it handed out is committed and no
//! fan-out is unfinished, it lets the watches change, sets the clock, and hands
//! out the next records. Nothing but committed state survives an interruption.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use pricedrop_adapters::memory::{MemoryCommitter, MemoryWatches};
use pricedrop_model::plugin::{Plugins, Throttling};
use pricedrop_model::seams::{Committer, Error, Outcome, UpdateSource};
use pricedrop_model::{
    Clock, Currency, EventTime, FanOutBlock, Partition, Pending, Position, Price, ProductId, Record, Update,
    UserId, WallTime, Watch,
};
use pricedrop_pipeline::notifier::{Counters, Options};
use pricedrop_testing::history::{History, billionths_text};
use pricedrop_testing::reference::{Event, Told};

use crate::faults::{Faults, FaultyCommitter, FaultyWatches};
use crate::journal::{Entry, Journal, RandomThrottle};
use crate::policies::{Mapping, Policies};

const PARTITION: Partition = Partition(0);
/// A history that takes more turns than this makes no progress.
const MOST_TURNS: usize = 200_000;

/// How a history is run.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Most watches a commit considers.
    pub commit_watches: usize,
    /// Most rows of a page.
    pub page_rows: usize,
    /// Most records a commit takes.
    pub batch_records: usize,
    /// Products of more watches are read by bucket.
    pub watchers_above: usize,
    /// How its thresholds fall into buckets, if at all.
    pub mapping: Option<Mapping>,
    /// Whether there is a throttle, one that decides at random.
    pub throttled: bool,
    /// What goes wrong.
    pub faults: Faults,
    /// Of the sizes of what the source hands out.
    pub seed: u64,
}

/// What a run led to.
#[derive(Debug)]
pub struct Run {
    /// All notifications in the order of their commits.
    pub told: Vec<Told>,
    /// What the throttle did, and when watches changed.
    pub journal: Vec<Entry>,
    /// What is held in the end.
    pub pending: Vec<((ProductId, Currency), Pending)>,
    /// What became of records, as far as it was said.
    pub settled: Vec<(i64, Outcome)>,
    /// The offsets of dead letters.
    pub dead: Vec<i64>,
    /// How many commits there were.
    pub commits: usize,
    /// The notifier's own counts, of the last one if there were several.
    pub counters: Arc<Counters>,
}

/// A clock that stands until it is set.
#[derive(Default)]
pub struct SetClock(AtomicI64);

impl Clock for SetClock {
    fn now(&self) -> WallTime {
        WallTime(self.0.load(Ordering::SeqCst))
    }
}

/// Runs a history to its end, starting the notifier anew whenever it dies.
pub fn run(history: &History, setup: &Setup) -> Run {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(run_to_the_end(history, setup))
}

async fn run_to_the_end(history: &History, setup: &Setup) -> Run {
    let clock = Arc::new(SetClock::default());
    let committed = MemoryCommitter::default();
    let journal = Arc::new(Mutex::new(Journal::default()));
    let throttle = || -> Arc<dyn Throttling> { Arc::new(RandomThrottle::new(journal.clone(), setup.seed)) };
    let fails_one_in = match setup.faults {
        Faults::OneIn(one_in, _) => Some(one_in),
        _ => None,
    };
    let throttling = setup.throttled.then(throttle);
    let policies = Policies { mapping: setup.mapping, fails_one_in, throttling };
    let bucketing = policies.bucketing();
    let watches = Arc::new(MemoryWatches::new(clock.clone(), bucketing, setup.watchers_above));
    let faulty_committer = FaultyCommitter::new(committed.clone(), setup.faults.clone(), journal.clone());
    let options = Options {
        rules: history.rules.clone(),
        batch_records: setup.batch_records,
        commit_watches: setup.commit_watches,
        page_rows: setup.page_rows,
        pause_ms: (0, 0),
        audit_one_in: 1,
        ..Options::default()
    };
    let world = World {
        committed: committed.clone(),
        watches: watches.clone(),
        clock: clock.clone(),
        journal: journal.clone(),
    };
    let script = Arc::new(Mutex::new(Script::new(history, setup.seed, world)));
    let counters = loop {
        let store = FaultyWatches::new(watches.clone(), &setup.faults, setup.seed, journal.clone());
        let plugins: Arc<dyn Plugins> = Arc::new(policies.clone());
        let source = Box::new(Source(script.clone()));
        let committer = Box::new(faulty_committer.clone());
        let notifier = options.clone().build(source, committer, Arc::new(store), plugins, clock.clone());
        let counters = notifier.counters();
        let (_keep, shutdown) = tokio::sync::watch::channel(false);
        if notifier.run(shutdown).await.is_ok() {
            break counters;
        }
    };
    let unfinished = committed.clone().restore().await.unwrap().unfinished;
    let pending =
        unfinished.into_iter().map(|(key, state)| ((key.product, key.currency), state.pending.unwrap()));
    let mut pending: Vec<_> = pending.collect();
    pending.sort_by(|a, b| a.0.cmp(&b.0));
    let script = script.lock().unwrap();
    committed.with(|committed| {
        assert_eq!(committed.offsets.get(&PARTITION).copied().unwrap_or(0), script.records.len() as i64);
        committed.fan_outs.iter().for_each(|block| script.assert_fields(block));
        Run {
            told: committed.fan_outs.iter().flat_map(told_of).collect(),
            journal: script.world.journal.lock().unwrap().entries().to_vec(),
            pending,
            settled: script.settled.clone(),
            dead: committed.dead_letters.iter().map(|dead| dead.record.position.offset).collect(),
            commits: faulty_committer.commits(),
            counters,
        }
    })
}

fn told_of(block: &FanOutBlock) -> Vec<Told> {
    let told = block.told.iter().map(|(user, watch_price)| Told {
        record: block.priced.position.offset as usize,
        watch_price: billionths(watch_price),
        user: user.to_owned(),
        product: block.product.to_string(),
        price: billionths(block.priced.price),
        previous: block.previous.map(billionths),
        currency: block.currency.to_string(),
    });
    told.collect()
}

/// A price as the reference counts it.
pub fn billionths(price: Price) -> i128 {
    i128::from(price.units()) * 10i128.pow(9 - u32::from(price.scale()))
}

/// The same number draws the same sequence.
pub struct Dice(pub u64);

impl Dice {
    /// A number below `sides`. Splitmix64.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }
}

/// A history, and how far it has come.
struct Script {
    events: std::vec::IntoIter<Event>,
    /// All records, each with its wall time.
    records: Vec<(Record, i64)>,
    /// Up to which record the input has grown.
    grown: usize,
    next: usize,
    settled: Vec<(i64, Outcome)>,
    dice: Dice,
    turns: usize,
    world: World,
}

/// What a script drives.
struct World {
    committed: MemoryCommitter,
    watches: Arc<MemoryWatches>,
    clock: Arc<SetClock>,
    journal: Arc<Mutex<Journal>>,
}

impl Script {
    fn new(history: &History, seed: u64, world: World) -> Script {
        let records = history.events.iter().filter_map(|event| match event {
            Event::Record { key, value, timestamp_ms, wall_ms } => Some((key, value, timestamp_ms, wall_ms)),
            _ => None,
        });
        let records = records.zip(0..).map(|((key, value, timestamp_ms, wall_ms), offset)| {
            let record = Record {
                position: Position { partition: PARTITION, offset },
                key: key.clone().map(Into::into),
                value: value.clone().map(Into::into),
                timestamp: EventTime(*timestamp_ms),
            };
            (record, *wall_ms)
        });
        Script {
            records: records.collect(),
            events: history.events.clone().into_iter(),
            grown: 0,
            next: 0,
            settled: Vec::new(),
            dice: Dice(seed),
            turns: 0,
            world,
        }
    }

    /// A notification repeats the fields of the update it stands for.
    fn assert_fields(&self, block: &FanOutBlock) {
        let (record, _) = &self.records[block.priced.position.offset as usize];
        let update = Update::parse(record.value.as_ref().unwrap()).unwrap();
        assert_eq!(block.priced, update.priced(record.position, record.timestamp));
        assert!(!block.told.is_empty());
    }

    fn next_batch(&mut self, most: usize, telling: bool) -> Option<Vec<Record>> {
        self.turns += 1;
        assert!(self.turns < MOST_TURNS, "no progress");
        let stored =
            self.world.committed.with(|committed| committed.offsets.get(&PARTITION).copied().unwrap_or(0));
        if self.next == self.grown && stored == self.grown as i64 && !telling && !self.grow() {
            return None;
        }
        let ready = (self.grown - self.next).min(most);
        let some = self.dice.roll(ready as u64 + 1).max(1).min(ready as u64) as usize;
        let batch = &self.records[self.next..self.next + some];
        self.next += some;
        Some(batch.iter().map(|(record, _)| record.clone()).collect())
    }

    /// Goes on to the next records of one wall time; false at the end.
    fn grow(&mut self) -> bool {
        loop {
            match self.events.as_slice().first() {
                None => return self.grown > self.next,
                Some(Event::Record { .. }) => {
                    let wall_ms = self.records[self.grown].1;
                    if self.grown > self.next && wall_ms != self.world.clock.now().0 {
                        return true;
                    }
                    self.world.clock.0.store(wall_ms, Ordering::SeqCst);
                    self.grown += 1;
                }
                Some(_) if self.grown > self.next => return true,
                Some(event) => self.world.change(event),
            }
            self.events.next();
        }
    }
}

impl World {
    /// Changes the watches.
    fn change(&self, event: &Event) {
        self.journal.lock().unwrap().changed(event);
        let price = |billionths: i128| Price::parse(&billionths_text(billionths)).unwrap();
        match event {
            Event::Put { product, user, threshold, mode, currency, at } => {
                self.watches.put(Watch {
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
                self.watches.delete(&product, price(*threshold), &user);
            }
            Event::ApplyRemovals => {
                let removals = self.committed.with(|committed| std::mem::take(&mut committed.removals));
                self.watches.remove_told(&removals);
            }
            Event::Record { .. } => {}
        }
    }
}

struct Source(Arc<Mutex<Script>>);

#[async_trait]
impl UpdateSource for Source {
    async fn next_batch(&mut self, most: usize, _wait_ms: u64) -> Result<Option<Vec<Record>>, Error> {
        let mut committed = self.0.lock().unwrap().world.committed.clone();
        let unfinished = committed.restore().await?.unfinished;
        let telling = unfinished.iter().any(|(_, state)| state.fan_out.is_some());
        Ok(self.0.lock().unwrap().next_batch(most, telling))
    }

    fn settled(&mut self, outcomes: Vec<(Position, Outcome)>) {
        let outcomes = outcomes.into_iter().map(|(position, outcome)| (position.offset, outcome));
        self.0.lock().unwrap().settled.extend(outcomes);
    }

    fn rewind(&mut self, offsets: &[(Partition, i64)]) {
        let offsets: BTreeMap<Partition, i64> = offsets.iter().copied().collect();
        self.0.lock().unwrap().next = offsets.get(&PARTITION).copied().unwrap_or(0) as usize;
    }
}
