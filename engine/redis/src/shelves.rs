//! The cache of watches. A cache entry (`Shelf`) holds the watches of a product, the watches of one
//! bucket, or a product's list of buckets.
//!
//! An entry has three keys: the *content*, the *marks* of running writes, and the *fill token* of
//! the one reader that may store the content. Every change is one script.
//!
//! ```text
//! reader   get ─ content? ─▶ hit
//!               └ marked, or another reader fills ─▶ pass: read the store
//!               └ else: take the fill token ─▶ read the store ─▶ fill, if the token is still there
//! writer   mark: delete content and fill token, add a mark ─▶ write the store
//!               ─▶ drop: delete content, fill token and its own mark ─▶ answer
//! ```
//!
//! Invariant: while an entry has a mark, it has no content and no reader may fill it. `mark`
//! deletes both, `get` gives no fill token, and `fill` needs one.
//!
//! Invariant: the content was read from the store after the last `mark` and the last `drop`,
//! because both delete the fill token.
//!
//! So a `get` that begins after a `drop` was answered finds that write, and one between `mark` and
//! `drop` reads the store. What may go wrong in between:
//!
//! - *The writer dies*, or its `drop` fails: its mark expires later than its write can end, and
//!   until then nothing is stored. If the server also lost the mark, a reader may have stored the
//!   old content. A failed `drop` therefore answers with the time to live.
//! - *`mark` fails*: readers find the old content until `drop`, or until it expires if `drop` fails
//!   too. `mark` answers with the time to live, which counts from the fill token, so a fill that is
//!   under way does not extend it.
//! - *The server lost the mark* (flushed, restarted, failed over, evicted, or the write outlasted
//!   it): `drop` detects that and answers 0. Later readers find the write; an earlier reader may
//!   have found the old content after the write.
//! - *The server comes back with old data*: keys of entries contain its run id.
//! - *A command is carried out late*, after its caller gave up: a late `mark` lasts until it
//!   expires, a late `drop` costs a refill, and a late `fill` needs a token that exists only if
//!   nothing was written since.
//! - *The fill token expires* before its reader fills: the next reader has a different token.
//! - *There are two primaries at once*, and clients use both: content on the one that writers do
//!   not reach may be as old as its time to live. Redis promises no more.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use pricedrop_model::cache::{Cached, Shelf, ShelfCache};
use pricedrop_model::ports::Error;
use redis::{Script, Value};

use super::Redis;
use super::lane::Lane;
use super::limits::{
    ANSWER_BYTES, FILL_LEASE_MS, MARK_TTL_MS, SCRIPT_KEYS, SHELF_BYTES, SHELF_TTL_MS, WIRE_BYTES_PER_MS,
};
use super::marks::{Mark, Marks};
use super::metrics::Metrics;
use super::names::Names;

static GET: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/get.lua")));
static FILL: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/fill.lua")));
static MARK: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/mark.lua")));
static DROP: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/drop.lua")));

/// A cache of watches in Redis. Cheap to clone; clones share the marks they have set.
#[derive(Clone)]
pub struct RedisShelves {
    lane: Lane,
    names: Names,
    metrics: Metrics,
    marks: Arc<Marks>,
    read_timeout: Duration,
    timeout: Duration,
    ttl_ms: u64,
    mark_ttl_ms: u64,
    fill_lease_ms: u64,
}

/// What the script found for one entry.
enum Found {
    Cached(Cached),
    /// The content exists, but was too long for the answer. Its length in bytes.
    Left(usize),
}

impl RedisShelves {
    /// Opens a cache with the default times to live.
    pub fn new(redis: &Redis) -> RedisShelves {
        RedisShelves::with_ttl(redis, SHELF_TTL_MS, MARK_TTL_MS)
    }

    /// Opens a cache whose entries and marks have these times to live, milliseconds. A mark must
    /// outlast every write and every fill.
    pub fn with_ttl(redis: &Redis, ttl_ms: u64, mark_ttl_ms: u64) -> RedisShelves {
        RedisShelves {
            lane: redis.lane(),
            names: redis.names(),
            metrics: redis.metrics.clone(),
            marks: Arc::default(),
            read_timeout: Duration::from_millis(redis.options.cache_timeout_ms),
            timeout: redis.timeout(),
            ttl_ms,
            mark_ttl_ms,
            fill_lease_ms: FILL_LEASE_MS.min(mark_ttl_ms),
        }
    }

    async fn look(&self, shelves: &[Shelf]) -> Result<Vec<Cached>, Error> {
        let token: u64 = rand::random();
        let asked = self.lane.call(self.read_timeout, |mut session| async move {
            let mut ask = GET.prepare_invoke();
            for shelf in shelves {
                ask.key(self.names.shelf(&session.run, shelf));
            }
            ask.arg(token).arg(self.fill_lease_ms).arg(ANSWER_BYTES);
            ask.invoke_async::<Vec<Value>>(&mut session.link).await
        });
        let answers = asked.await?;
        if answers.len() != shelves.len() {
            return Err(Error::Unavailable("Redis answered for another number of shelves".into()));
        }
        let mut left = Vec::new();
        let read = |(at, answer)| match read(answer, token) {
            Found::Cached(cached) => cached,
            Found::Left(length) => {
                left.push((at, length));
                Cached::Pass
            }
        };
        let mut found: Vec<Cached> = answers.into_iter().enumerate().map(read).collect();
        for some in by_length(left) {
            let fetched = self.fetch(shelves, &some).await.unwrap_or_default();
            for ((at, _), bytes) in some.into_iter().zip(fetched) {
                found[at] = bytes.map_or(Cached::Pass, Cached::Hit);
            }
        }
        Ok(found)
    }

    /// Fetches entries that were too long for one answer. The timeout grows with their length.
    async fn fetch(&self, shelves: &[Shelf], some: &[(usize, usize)]) -> Result<Vec<Option<Bytes>>, Error> {
        let patience = self.read_timeout + on_the_wire(some.iter().map(|(_, length)| length).sum());
        let asked = self.lane.call(patience, |mut session| async move {
            let keys = some.iter().map(|(at, _)| self.names.shelf(&session.run, &shelves[*at]));
            redis::cmd("MGET").arg(keys.collect::<Vec<_>>()).query_async(&mut session.link).await
        });
        asked.await
    }

    fn count_found(&self, found: &[Cached]) {
        let of = |is: fn(&Cached) -> bool| found.iter().filter(|cached| is(cached)).count() as u64;
        self.metrics.hits.inc_by(of(|cached| matches!(cached, Cached::Hit(_))));
        self.metrics.misses.inc_by(of(|cached| matches!(cached, Cached::Fill(_))));
        self.metrics.passes.inc_by(of(|cached| matches!(cached, Cached::Pass)));
    }

    async fn store(&self, shelf: &Shelf, token: u64, bytes: &Bytes) -> Result<bool, Error> {
        let stored = self.lane.call(self.timeout + on_the_wire(bytes.len()), |mut session| async move {
            let mut ask = FILL.key(self.names.shelf(&session.run, shelf));
            ask.arg(token).arg(&bytes[..]).arg(self.ttl_ms).arg(self.fill_lease_ms);
            ask.invoke_async::<bool>(&mut session.link).await
        });
        stored.await
    }

    async fn set_marks(&self, shelves: &[Shelf], token: u64) -> Result<(), Error> {
        let marked = self.lane.call(self.timeout, |mut session| async move {
            let mut ask = MARK.prepare_invoke();
            for shelf in shelves {
                ask.key(self.names.shelf(&session.run, shelf));
            }
            ask.arg(token).arg(self.mark_ttl_ms).invoke_async::<usize>(&mut session.link).await
        });
        marked.await.map(|_| ())
    }

    /// Removes the marks and the content. Returns for each entry whether its mark was still there.
    async fn take_marks(&self, shelves: &[Shelf], marks: &[Option<Mark>]) -> Result<Vec<bool>, Error> {
        let dropped = self.lane.call(self.timeout, |mut session| async move {
            let mut ask = DROP.prepare_invoke();
            for (shelf, mark) in shelves.iter().zip(marks) {
                ask.key(self.names.shelf(&session.run, shelf));
                ask.arg(mark.map_or_else(String::new, |mark| mark.token.to_string()));
            }
            ask.invoke_async::<Vec<bool>>(&mut session.link).await
        });
        dropped.await
    }

    async fn mark_some(&self, shelves: &[Shelf]) -> Option<u64> {
        let (token, now) = (rand::random(), Instant::now());
        let marked = self.set_marks(shelves, token).await;
        // A mark whose call failed may be set all the same, so it is remembered like any other.
        let ends = now + Duration::from_millis(self.mark_ttl_ms);
        self.marks.add(shelves, Mark { token, ends, doubtful: false }, now);
        marked.is_err().then_some(self.ttl_ms)
    }

    async fn drop_some(&self, shelves: &[Shelf]) -> Option<u64> {
        let now = Instant::now();
        let marks: Vec<Option<Mark>> = shelves.iter().map(|shelf| self.marks.take(shelf, now)).collect();
        let Ok(stood) = self.take_marks(shelves, &marks).await else { return Some(self.ttl_ms) };
        let lost = shelves.iter().zip(&stood).filter(|(_, stood)| !**stood).map(|(shelf, _)| shelf);
        lost.for_each(|shelf| self.marks.doubt(shelf));
        let all_stood = stood.len() == shelves.len() && stood.iter().all(|stood| *stood);
        let doubtful = marks.iter().flatten().any(|mark| mark.doubtful);
        (!all_stood || doubtful).then_some(0)
    }

    fn count_lost(&self, until: Option<u64>) -> Option<u64> {
        self.metrics.marks_lost.inc_by(until.is_some().into());
        until
    }
}

fn on_the_wire(bytes: usize) -> Duration {
    Duration::from_millis((bytes / WIRE_BYTES_PER_MS) as u64)
}

fn read(answer: Value, token: u64) -> Found {
    match answer {
        Value::BulkString(bytes) => Found::Cached(Cached::Hit(bytes.into())),
        Value::Int(-1) => Found::Cached(Cached::Fill(token)),
        Value::Int(length) if length > 0 => Found::Left(usize::try_from(length).unwrap_or(usize::MAX)),
        _ => Found::Cached(Cached::Pass),
    }
}

/// Splits indexes and lengths into parts that fit into one answer, or hold one entry.
fn by_length(left: Vec<(usize, usize)>) -> Vec<Vec<(usize, usize)>> {
    let mut parts: Vec<Vec<(usize, usize)>> = Vec::new();
    let mut room = 0;
    for (at, length) in left {
        match parts.last_mut().filter(|_| length <= room) {
            Some(part) => part.push((at, length)),
            None => {
                parts.push(vec![(at, length)]);
                room = ANSWER_BYTES;
            }
        }
        room = room.saturating_sub(length);
    }
    parts
}

/// Returns each entry once, because an entry that is named twice gets one mark.
fn distinct(shelves: &[Shelf]) -> Vec<Shelf> {
    shelves.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect()
}

#[async_trait]
impl ShelfCache for RedisShelves {
    async fn get(&self, shelves: &[Shelf]) -> Vec<Cached> {
        let mut found = Vec::with_capacity(shelves.len());
        for some in shelves.chunks(SCRIPT_KEYS) {
            let passed = |_| vec![Cached::Pass; some.len()];
            found.extend(self.look(some).await.unwrap_or_else(passed));
        }
        self.count_found(&found);
        found
    }

    async fn fill(&self, shelf: &Shelf, token: u64, bytes: Bytes) {
        let fits = bytes.len() <= SHELF_BYTES;
        let stored = fits && self.store(shelf, token, &bytes).await.unwrap_or(false);
        let counter = if stored { &self.metrics.fills } else { &self.metrics.fills_refused };
        counter.inc();
    }

    async fn mark(&self, shelves: &[Shelf]) -> Option<u64> {
        let mut until = None;
        for some in distinct(shelves).chunks(SCRIPT_KEYS) {
            until = until.max(self.mark_some(some).await);
        }
        self.count_lost(until)
    }

    async fn drop(&self, shelves: &[Shelf]) -> Option<u64> {
        let mut until = None;
        for some in distinct(shelves).chunks(SCRIPT_KEYS) {
            until = until.max(self.drop_some(some).await);
        }
        self.count_lost(until)
    }
}
