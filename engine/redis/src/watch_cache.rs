//! The cache of watches. A cache entry holds the watches of a product, the watches of one
//! bucket, or a product's list of buckets.
//!
//! An entry has three keys: the *content*, the *marks* of running writes, and the *fill lease* of
//! the one reader that may store the content. Every change is one script.
//!
//! ```text
//! reader   get ─ content? ─▶ hit
//!               └ marked, or another reader fills ─▶ pass: read the store
//!               └ else: take the fill lease ─▶ read the store ─▶ fill, if the lease is still there
//! writer   begin_invalidation: delete content and fill lease, add a mark ─▶ write the store
//!               ─▶ end_invalidation: delete content, fill lease and its own mark ─▶ answer
//! ```
//!
//! Invariant: while an entry has a mark, it has no content and no reader may fill it.
//! `begin_invalidation` deletes both, `get` gives no fill lease, and `fill` needs one.
//!
//! Invariant: the content was read from the store after the last invalidation began and after the
//! last one ended, because both delete the fill lease.
//!
//! So a `get` that begins after an invalidation ended finds that write, and one during the
//! invalidation reads the store. What may go wrong in between:
//!
//! - *The writer dies*, or its `end_invalidation` fails: its mark expires later than its write can end, and
//!   until then nothing is stored. If the server also lost the mark, a reader may have stored the
//!   old content. A failed `end_invalidation` therefore answers with the time to live.
//! - *`begin_invalidation` fails*: readers find the old content until `end_invalidation`, or until it expires
//!   if that fails too. `begin_invalidation` answers with the time to live, which counts from the fill lease, so a fill that is
//!   under way does not extend it.
//! - *The server lost the mark* (flushed, restarted, failed over, evicted, or the write outlasted
//!   it): `end_invalidation` detects that and answers 0. Later readers find the write; an earlier reader may
//!   have found the old content after the write.
//! - *The server comes back with old data*: keys of entries contain its run id.
//! - *A command is carried out late*, after its caller gave up: a late `begin_invalidation`
//!   lasts until its mark expires, a late `end_invalidation` costs a refill, and a late `fill` needs a lease that exists only if
//!   nothing was written since.
//! - *The fill lease expires* before its reader fills: the next reader has a different lease.
//! - *There are two primaries at once*, and clients use both: content on the one that writers do
//!   not reach may be as old as its time to live. Redis promises no more.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use pricedrop_model::cache::{CacheKey, Cached, WatchCache};
use pricedrop_model::ports::Error;
use redis::{Script, Value};

use super::Redis;
use super::connection::Connection;
use super::limits::{
    ANSWER_BYTES, CACHE_TTL_MS, ENTRY_BYTES, FILL_LEASE_MS, MARK_TTL_MS, SCRIPT_KEYS, WIRE_BYTES_PER_MS,
};
use super::marks::{Mark, Marks};
use super::metrics::Metrics;
use super::names::Names;

static GET: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/get.lua")));
static FILL: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/fill.lua")));
static BEGIN_INVALIDATION: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("lua/begin_invalidation.lua")));
static END_INVALIDATION: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("lua/end_invalidation.lua")));

/// A cache of watches in Redis. Cheap to clone; clones share the marks they have set.
#[derive(Clone)]
pub struct RedisWatchCache {
    connection: Connection,
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

impl RedisWatchCache {
    /// Opens a cache with the default times to live.
    pub fn new(redis: &Redis) -> RedisWatchCache {
        RedisWatchCache::with_ttl(redis, CACHE_TTL_MS, MARK_TTL_MS)
    }

    /// Opens a cache whose entries and marks have these times to live, milliseconds. A mark must
    /// outlast every write and every fill.
    pub fn with_ttl(redis: &Redis, ttl_ms: u64, mark_ttl_ms: u64) -> RedisWatchCache {
        RedisWatchCache {
            connection: redis.connection(),
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

    async fn get_some(&self, keys: &[CacheKey]) -> Result<Vec<Cached>, Error> {
        let lease: u64 = rand::random();
        let answer = self.connection.call(self.read_timeout, |mut session| async move {
            let mut script = GET.prepare_invoke();
            for key in keys {
                script.key(self.names.key(&session.run, key));
            }
            script.arg(lease).arg(self.fill_lease_ms).arg(ANSWER_BYTES);
            script.invoke_async::<Vec<Value>>(&mut session.link).await
        });
        let answers = answer.await?;
        if answers.len() != keys.len() {
            return Err(Error::Unavailable("Redis answered for a different number of keys".into()));
        }
        let mut left = Vec::new();
        let read = |(at, answer)| match read(answer, lease) {
            Found::Cached(cached) => cached,
            Found::Left(length) => {
                left.push((at, length));
                Cached::Pass
            }
        };
        let mut found: Vec<Cached> = answers.into_iter().enumerate().map(read).collect();
        for some in by_length(left) {
            let fetched = self.fetch(keys, &some).await.unwrap_or_default();
            for ((at, _), bytes) in some.into_iter().zip(fetched) {
                found[at] = bytes.map_or(Cached::Pass, Cached::Hit);
            }
        }
        Ok(found)
    }

    /// Fetches entries that were too long for one answer. The timeout grows with their length.
    async fn fetch(&self, keys: &[CacheKey], some: &[(usize, usize)]) -> Result<Vec<Option<Bytes>>, Error> {
        let timeout = self.read_timeout + on_the_wire(some.iter().map(|(_, length)| length).sum());
        let answer = self.connection.call(timeout, |mut session| async move {
            let keys = some.iter().map(|(at, _)| self.names.key(&session.run, &keys[*at]));
            redis::cmd("MGET").arg(keys.collect::<Vec<_>>()).query_async(&mut session.link).await
        });
        answer.await
    }

    fn count_found(&self, found: &[Cached]) {
        let of = |is: fn(&Cached) -> bool| found.iter().filter(|cached| is(cached)).count() as u64;
        self.metrics.hits.inc_by(of(|cached| matches!(cached, Cached::Hit(_))));
        self.metrics.misses.inc_by(of(|cached| matches!(cached, Cached::Fill(_))));
        self.metrics.passes.inc_by(of(|cached| matches!(cached, Cached::Pass)));
    }

    async fn store(&self, key: &CacheKey, lease: u64, bytes: &Bytes) -> Result<bool, Error> {
        let stored =
            self.connection.call(self.timeout + on_the_wire(bytes.len()), |mut session| async move {
                let mut script = FILL.key(self.names.key(&session.run, key));
                script.arg(lease).arg(&bytes[..]).arg(self.ttl_ms).arg(self.fill_lease_ms);
                script.invoke_async::<bool>(&mut session.link).await
            });
        stored.await
    }

    async fn set_marks(&self, keys: &[CacheKey], token: u64) -> Result<(), Error> {
        let marked = self.connection.call(self.timeout, |mut session| async move {
            let mut script = BEGIN_INVALIDATION.prepare_invoke();
            for key in keys {
                script.key(self.names.key(&session.run, key));
            }
            script.arg(token).arg(self.mark_ttl_ms).invoke_async::<usize>(&mut session.link).await
        });
        marked.await.map(|_| ())
    }

    /// Removes the marks and the content. Returns for each entry whether its mark was still there.
    async fn take_marks(&self, keys: &[CacheKey], marks: &[Option<Mark>]) -> Result<Vec<bool>, Error> {
        let dropped = self.connection.call(self.timeout, |mut session| async move {
            let mut script = END_INVALIDATION.prepare_invoke();
            for (key, mark) in keys.iter().zip(marks) {
                script.key(self.names.key(&session.run, key));
                script.arg(mark.map_or_else(String::new, |mark| mark.token.to_string()));
            }
            script.invoke_async::<Vec<bool>>(&mut session.link).await
        });
        dropped.await
    }

    async fn begin_some(&self, keys: &[CacheKey]) -> Option<u64> {
        let (token, now) = (rand::random(), Instant::now());
        let marked = self.set_marks(keys, token).await;
        // A mark whose call failed may be set all the same, so it is remembered like any other.
        let ends = now + Duration::from_millis(self.mark_ttl_ms);
        self.marks.add(keys, Mark { token, ends, doubtful: false }, now);
        marked.is_err().then_some(self.ttl_ms)
    }

    async fn end_some(&self, keys: &[CacheKey]) -> Option<u64> {
        let now = Instant::now();
        let marks: Vec<Option<Mark>> = keys.iter().map(|key| self.marks.take(key, now)).collect();
        let Ok(found) = self.take_marks(keys, &marks).await else { return Some(self.ttl_ms) };
        let lost = keys.iter().zip(&found).filter(|(_, found)| !**found).map(|(key, _)| key);
        lost.for_each(|key| self.marks.doubt(key));
        let all_found = found.len() == keys.len() && found.iter().all(|found| *found);
        let doubtful = marks.iter().flatten().any(|mark| mark.doubtful);
        (!all_found || doubtful).then_some(0)
    }

    fn count_lost(&self, until: Option<u64>) -> Option<u64> {
        self.metrics.marks_lost.inc_by(until.is_some().into());
        until
    }
}

fn on_the_wire(bytes: usize) -> Duration {
    Duration::from_millis((bytes / WIRE_BYTES_PER_MS) as u64)
}

fn read(answer: Value, lease: u64) -> Found {
    match answer {
        Value::BulkString(bytes) => Found::Cached(Cached::Hit(bytes.into())),
        Value::Int(-1) => Found::Cached(Cached::Fill(lease)),
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
fn distinct(keys: &[CacheKey]) -> Vec<CacheKey> {
    keys.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect()
}

#[async_trait]
impl WatchCache for RedisWatchCache {
    async fn get(&self, keys: &[CacheKey]) -> Vec<Cached> {
        let mut found = Vec::with_capacity(keys.len());
        for some in keys.chunks(SCRIPT_KEYS) {
            let passed = |_| vec![Cached::Pass; some.len()];
            found.extend(self.get_some(some).await.unwrap_or_else(passed));
        }
        self.count_found(&found);
        found
    }

    async fn fill(&self, key: &CacheKey, lease: u64, bytes: Bytes) {
        let fits = bytes.len() <= ENTRY_BYTES;
        let stored = fits && self.store(key, lease, &bytes).await.unwrap_or(false);
        let counter = if stored { &self.metrics.fills } else { &self.metrics.fills_refused };
        counter.inc();
    }

    async fn begin_invalidation(&self, keys: &[CacheKey]) -> Option<u64> {
        let mut until = None;
        for some in distinct(keys).chunks(SCRIPT_KEYS) {
            until = until.max(self.begin_some(some).await);
        }
        self.count_lost(until)
    }

    async fn end_invalidation(&self, keys: &[CacheKey]) -> Option<u64> {
        let mut until = None;
        for some in distinct(keys).chunks(SCRIPT_KEYS) {
            until = until.max(self.end_some(some).await);
        }
        self.count_lost(until)
    }
}
