//! Runs a history through the notifier over in-memory ports.
//!
//! The source drives the run: when everything it returned is committed and no fan-out is
//! unfinished, it changes the watches, sets the clock, and returns the next records. Only
//! committed state survives an interruption.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use pricedrop_memory::{MemoryCommitter, MemoryWatches};
use pricedrop_model::plugin::{Plugins, Throttling};
use pricedrop_model::ports::{Committer, Outcome};
use pricedrop_model::{Clock, Currency, FanOutBlock, Pending, Price, ProductId, WallTime};
use pricedrop_pipeline::notifier::{Metrics, Options};
use pricedrop_testing::history::History;
use pricedrop_testing::reference::{Times, Told};

use crate::faults::{Faults, FaultyCommitter, FaultyWatches, Lots};
use crate::group::{Group, Member};
use crate::journal::{Entry, Journal, RandomThrottle};
use crate::policies::{Mapping, Policies};
use crate::script::{Script, Source, World};

/// The settings of a run.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Limit of watches considered by a commit.
    pub commit_watches: usize,
    /// Limit of rows in a page.
    pub page_rows: usize,
    /// Limit of records in a commit.
    pub batch_records: usize,
    /// Products with more watches than this are read by bucket.
    pub bucket_threshold: usize,
    /// The bucketing policy, if there is one.
    pub mapping: Option<Mapping>,
    /// Whether there is a throttling policy; it decides at random.
    pub throttled: bool,
    /// The number of partitions.
    pub partitions: usize,
    /// The number of notifiers in the group.
    pub members: usize,
    /// One in this many reads of the input reassigns a partition.
    pub moves_one_in: Option<u64>,
    /// The faults of the ports.
    pub faults: Faults,
    /// The seed for the sizes of the batches that the source returns.
    pub seed: u64,
}

/// The result of a run.
#[derive(Debug)]
pub struct Run {
    /// All notifications, in the order of their commits.
    pub told: Vec<Told>,
    /// The decisions of the throttle, and the changes of watches.
    pub journal: Vec<Entry>,
    /// The updates that are held at the end.
    pub pending: Vec<((ProductId, Currency), Pending)>,
    /// The outcomes of records, as far as they were reported to the source.
    pub settled: Vec<(i64, Outcome)>,
    /// The offsets of rejected records.
    pub dead: Vec<i64>,
    /// The number of commits.
    pub commits: usize,
    /// How often a partition was reassigned.
    pub moves: usize,
    /// The metrics of the notifier; of the last one if there were several.
    pub metrics: Metrics,
}

/// A clock that shows the time it was set to.
#[derive(Default)]
pub struct SetClock(AtomicI64);

impl SetClock {
    /// Sets the wall time.
    pub fn set(&self, wall_ms: i64) {
        self.0.store(wall_ms, Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn now(&self) -> WallTime {
        WallTime(self.0.load(Ordering::SeqCst))
    }
}

/// Runs a history to its end. Whenever the notifier dies, a new one is started.
pub fn run(history: &History, setup: &Setup) -> Run {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(run_to_the_end(history, setup))
}

async fn run_to_the_end(history: &History, setup: &Setup) -> Run {
    let stage = Stage::new(history, setup);
    let members = (0..setup.members).map(|number| stage.play(history, setup, number));
    let metrics = futures::future::join_all(members).await.swap_remove(0);
    stage.outcome(metrics).await
}

/// What all notifiers of a run share.
struct Stage {
    script: Arc<Mutex<Script>>,
    world: World,
    commits: Arc<Mutex<usize>>,
    group: Arc<Mutex<Group>>,
    policies: Policies,
    lots: Lots,
}

impl Stage {
    fn new(history: &History, setup: &Setup) -> Stage {
        let clock = Arc::new(SetClock::default());
        let journal = Arc::new(Mutex::new(Journal::default()));
        let throttle =
            || -> Arc<dyn Throttling> { Arc::new(RandomThrottle::new(journal.clone(), setup.seed)) };
        let fails_one_in = match setup.faults {
            Faults::OneIn(one_in, _) => Some(one_in),
            _ => None,
        };
        let throttling = setup.throttled.then(throttle);
        let policies = Policies { mapping: setup.mapping, fails_one_in, throttling };
        let watches = MemoryWatches::new(clock.clone(), policies.bucketing(), setup.bucket_threshold);
        let world =
            World { committed: MemoryCommitter::default(), watches: Arc::new(watches), clock, journal };
        let script = Script::new(history, setup.partitions, setup.seed, world.clone());
        Stage {
            script: Arc::new(Mutex::new(script)),
            world,
            commits: Arc::default(),
            group: Group::new(setup.partitions, setup.members, setup.moves_one_in, setup.seed),
            policies,
            lots: Lots::new(&setup.faults, setup.seed ^ 1),
        }
    }

    /// Runs one notifier after the other, until one reaches the end of the history.
    async fn play(&self, history: &History, setup: &Setup, number: usize) -> Metrics {
        let member = Member::new(self.group.clone(), number);
        // With several notifiers there is no order of events between them.
        let journal = if setup.members == 1 { self.world.journal.clone() } else { Arc::default() };
        let committer = FaultyCommitter {
            inner: self.world.committed.clone(),
            script: self.script.clone(),
            faults: setup.faults.clone(),
            lots: self.lots.clone(),
            journal: journal.clone(),
            member: member.clone(),
            commits: self.commits.clone(),
            dead: Arc::default(),
            encodes: history.times == Times::Given,
        };
        let options = Options {
            rules: history.rules.clone(),
            batch_records: setup.batch_records,
            commit_watches: setup.commit_watches,
            page_rows: setup.page_rows,
            pause_ms: (0, 0),
            // A notifier that lost its partitions may read while watches change, so the audit would fail.
            audit_sample_rate: if setup.members == 1 { 1 } else { 0 },
            ..Options::default()
        };
        loop {
            let (inner, lots, journal) = (self.world.watches.clone(), self.lots.clone(), journal.clone());
            let store = Arc::new(FaultyWatches { inner, lots, journal });
            let plugins: Arc<dyn Plugins> = Arc::new(self.policies.clone());
            let (script, lots, member) = (self.script.clone(), self.lots.clone(), member.clone());
            let source = Box::new(Source { script, lots, member });
            let clock = self.world.clock.clone();
            let notifier = options.clone().build(source, Box::new(committer.clone()), store, plugins, clock);
            let metrics = notifier.metrics();
            let (_keep, shutdown) = tokio::sync::watch::channel(false);
            if notifier.run(shutdown).await.is_ok() {
                return metrics;
            }
        }
    }

    async fn outcome(self, metrics: Metrics) -> Run {
        let unfinished = self.world.committed.clone().restore().await.unwrap().unfinished;
        let pending =
            unfinished.into_iter().map(|(key, state)| ((key.product, key.currency), state.pending.unwrap()));
        let mut pending: Vec<_> = pending.collect();
        pending.sort_by(|a, b| a.0.cmp(&b.0));
        let script = self.script.lock().unwrap();
        assert!(script.is_through());
        self.world.committed.with(|committed| {
            committed.fan_outs.iter().for_each(|block| script.assert_fields(block));
            let dead =
                committed.rejected_records.iter().map(|dead| script.index_of(dead.record.position) as i64);
            Run {
                told: committed.fan_outs.iter().flat_map(|block| told_of(block, &script)).collect(),
                journal: self.world.journal.lock().unwrap().entries(),
                pending,
                settled: script.settled.clone(),
                dead: dead.collect(),
                commits: *self.commits.lock().unwrap(),
                moves: self.group.lock().unwrap().moves(),
                metrics,
            }
        })
    }
}

fn told_of(block: &FanOutBlock, script: &Script) -> Vec<Told> {
    let told = block.told.iter().map(|(user, watch_price)| Told {
        record: script.index_of(block.priced.position),
        watch_price: billionths(watch_price),
        user: user.to_owned(),
        product: block.product.to_string(),
        price: billionths(block.priced.price),
        previous: block.previous.map(billionths),
        currency: block.currency.to_string(),
    });
    told.collect()
}

/// Returns a price as the reference counts it, in billionths.
pub fn billionths(price: Price) -> i128 {
    i128::from(price.units()) * 10i128.pow(9 - u32::from(price.scale()))
}

/// A pseudo-random generator: the same seed gives the same sequence.
pub struct Dice(pub u64);

impl Dice {
    /// Returns a number below `sides` (splitmix64).
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }
}
