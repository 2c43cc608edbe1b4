//! Readers, writers and faults interleave at random, one call at a time, over a real Redis: no
//! acknowledged write is missed by a later read.
#![allow(clippy::unwrap_used)]

mod rig;

use bytes::Bytes;
use pricedrop_model::ProductId;
use pricedrop_model::cache::{CacheKey, Cached, WatchCache as _};
use pricedrop_redis::{Options, Redis, RedisWatchCache};

const SCHEDULES: u64 = 150;
const TURNS: usize = 120;
const PRODUCTS: usize = 2;
const PROCESSES: usize = 2;

struct Dice(u64);

impl Dice {
    /// Returns a number below `sides` (xorshift64).
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }
}

/// A write between the begin and the end of its invalidation. `missed` is set if a reader did not
/// see what was written already.
struct Writer {
    process: usize,
    keys: Vec<usize>,
    written: Option<Vec<u64>>,
    missed: bool,
}

/// A reader between its read of the cache and its fill.
struct Filler {
    process: usize,
    key: usize,
    token: u64,
    version: Option<u64>,
}

struct World {
    dice: Dice,
    caches: Vec<RedisWatchCache>,
    server: redis::aio::MultiplexedConnection,
    /// The prefix of the keys of cache entries.
    begin: String,
    /// The version of each product in the store.
    store: [u64; PRODUCTS],
    /// The version that every later read must see.
    acknowledged: [u64; PRODUCTS],
    writers: Vec<Writer>,
    fillers: Vec<Filler>,
    hits: usize,
    warned: usize,
}

fn key(number: usize) -> CacheKey {
    CacheKey::Product(ProductId::new(&format!("P{number}")).unwrap())
}

fn keys(numbers: &[usize]) -> Vec<CacheKey> {
    numbers.iter().map(|number| key(*number)).collect()
}

impl World {
    async fn new(seed: u64) -> World {
        let options = rig::options();
        let caches = (0..PROCESSES).map(|_| RedisWatchCache::new(&Redis::new(options.clone()).unwrap()));
        let Options { prefix, addresses, .. } = &options;
        let run = Redis::new(options.clone()).unwrap().facts().await.unwrap().run;
        let client = redis::Client::open(format!("redis://{}", addresses[0])).unwrap();
        let patient = redis::AsyncConnectionConfig::new().set_response_timeout(None);
        World {
            dice: Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            caches: caches.collect(),
            server: client.get_multiplexed_async_connection_with_config(&patient).await.unwrap(),
            begin: format!("{prefix}:{run}:price_watch:"),
            store: [1; PRODUCTS],
            acknowledged: [1; PRODUCTS],
            writers: Vec::new(),
            fillers: Vec::new(),
            hits: 0,
            warned: 0,
        }
    }

    async fn turn(&mut self, faults: bool) {
        match self.dice.roll(if faults { 26 } else { 24 }) {
            0..=8 => self.read().await,
            9..=13 => self.fill().await,
            14..=16 => self.begin_write().await,
            17..=23 => self.go_on_writing().await,
            24 => self.lose_keys().await,
            _ => self.writer_dies(),
        }
    }

    async fn read(&mut self) {
        let (process, number) = (self.dice.roll(PROCESSES), self.dice.roll(PRODUCTS));
        match self.caches[process].get(&[key(number)]).await.remove(0) {
            Cached::Pass => {}
            Cached::Fill(token) => self.fillers.push(Filler { process, key: number, token, version: None }),
            Cached::Hit(bytes) => {
                let seen: u64 = std::str::from_utf8(&bytes).unwrap().parse().unwrap();
                let must = self.acknowledged[number];
                assert!(seen >= must, "version {must} was acknowledged, a later reader had {seen}");
                self.hits += 1;
                for writer in &mut self.writers {
                    let at = writer.keys.iter().position(|key| *key == number);
                    let wrote = at.and_then(|at| Some(writer.written.as_ref()?[at]));
                    writer.missed |= wrote.is_some_and(|version| version > seen);
                }
            }
        }
    }

    /// A filler reads the store, or fills the cache with what it has read.
    async fn fill(&mut self) {
        if self.fillers.is_empty() {
            return;
        }
        let at = self.dice.roll(self.fillers.len());
        let filler = &mut self.fillers[at];
        match filler.version {
            None => filler.version = Some(self.store[filler.key]),
            Some(version) => {
                let Filler { process, key: number, token, .. } = self.fillers.swap_remove(at);
                let bytes = Bytes::from(version.to_string());
                self.caches[process].fill(&key(number), token, bytes).await;
            }
        }
    }

    async fn begin_write(&mut self) {
        let numbers: Vec<usize> = match self.dice.roll(3) {
            0 => (0..PRODUCTS).collect(),
            _ => vec![self.dice.roll(PRODUCTS)],
        };
        let process = self.dice.roll(PROCESSES);
        assert_eq!(self.caches[process].begin_invalidation(&keys(&numbers)).await, None);
        self.writers.push(Writer { process, keys: numbers, written: None, missed: false });
    }

    /// A writer writes the store, or ends its invalidation and acknowledges.
    async fn go_on_writing(&mut self) {
        if self.writers.is_empty() {
            return;
        }
        let at = self.dice.roll(self.writers.len());
        if self.writers[at].written.is_none() {
            let numbers = self.writers[at].keys.clone();
            numbers.iter().for_each(|number| self.store[*number] += 1);
            self.writers[at].written = Some(numbers.iter().map(|number| self.store[*number]).collect());
            return;
        }
        let writer = self.writers.swap_remove(at);
        let effective_by = self.caches[writer.process].end_invalidation(&keys(&writer.keys)).await;
        match effective_by {
            None => assert!(!writer.missed, "a reader missed a write, and its writer was not told"),
            Some(ms) => assert_eq!(ms, 0, "the server was there"),
        }
        self.warned += usize::from(effective_by.is_some());
        for (number, version) in writer.keys.iter().zip(writer.written.unwrap()) {
            self.acknowledged[*number] = self.acknowledged[*number].max(version);
        }
    }

    /// The server loses everything, or evicts a key.
    async fn lose_keys(&mut self) {
        let of = |number| ["", ":marks", ":fill"].map(|part| format!("{}P{number}{part}", self.begin));
        let keys: Vec<String> = (0..PRODUCTS).flat_map(of).collect();
        let lost = match self.dice.roll(2) {
            0 => keys,
            _ => vec![keys[self.dice.roll(keys.len())].clone()],
        };
        redis::cmd("DEL").arg(lost).query_async::<()>(&mut self.server).await.unwrap();
    }

    /// A writer dies, before or after its write, without an acknowledgement.
    fn writer_dies(&mut self) {
        if !self.writers.is_empty() {
            let at = self.dice.roll(self.writers.len());
            self.writers.swap_remove(at);
        }
    }
}

async fn run(faults: bool) -> (usize, usize) {
    let (mut hits, mut warned) = (0, 0);
    for seed in 1..=SCHEDULES {
        println!("seed {seed}");
        let mut world = World::new(seed).await;
        for _ in 0..TURNS {
            world.turn(faults).await;
        }
        hits += world.hits;
        warned += world.warned;
    }
    (hits, warned)
}

#[tokio::test]
async fn no_acknowledged_write_is_missed_by_a_later_reader() {
    let (hits, warned) = run(false).await;
    assert!(hits > 100, "only {hits} hits");
    assert_eq!(warned, 0, "nothing was lost, and writers were warned");
}

#[tokio::test]
async fn no_acknowledged_write_is_missed_when_keys_are_lost_and_writers_die() {
    let (hits, warned) = run(true).await;
    assert!(hits > 100 && warned > 10, "only {hits} hits and {warned} warnings");
}
