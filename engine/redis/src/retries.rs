//! The index of retries by partition, channel and due time. The compacted topic of retries is the
//! source of truth. The index is built from it, and built again whenever it is lost, incomplete, or
//! belongs to another owner.
//!
//! Each partition has a *sentinel* that names its owner's token and the run of the server. Every
//! script compares it first. So an index that was flushed, is of an earlier run, or has a later
//! owner is detected, and is not taken for an empty one.
//!
//! ```text
//! take, put, .. ─▶ lost ─▶ clear(token) ─▶ restore, restore, .. ─▶ seed ─▶ take, put, ..
//! ```
//!
//! While a partition is rebuilt, its sentinel names the rebuilder, so that two concurrent rebuilds
//! do not mix: the later `clear` wins, and `restore` and `seed` of the other answer `Lost`.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::{TryFutureExt as _, try_join_all};
use pricedrop_model::dispatch::Retry;
use pricedrop_model::ports::Error;
use pricedrop_model::retry_index::{Kept, Owned, RetryIndex, Taken, Waiting};
use pricedrop_model::{Cause, Partition, WallTime};
use redis::Script;

use super::Redis;
use super::connection::Connection;
use super::limits::SCRIPT_KEYS;
use super::names::Names;

static PUT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/retries_put.lua")));
static REMOVE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/retries_remove.lua")));
static TAKE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/retries_take.lua")));
static WAITING: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/retries_waiting.lua")));
static CLEAR: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/retries_clear.lua")));
static SEED: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/retries_seed.lua")));

/// The index of retries in Redis. Cheap to clone.
#[derive(Clone)]
pub struct RedisRetryIndex {
    connection: Connection,
    names: Names,
    timeout: Duration,
}

impl RedisRetryIndex {
    /// Opens the index on this server.
    pub fn new(redis: &Redis) -> RedisRetryIndex {
        RedisRetryIndex { connection: redis.connection(), names: redis.names(), timeout: redis.timeout() }
    }

    async fn put_some(&self, owned: Owned, rebuilds: bool, retries: Vec<&Retry>) -> Result<Kept, Error> {
        let bodies: Vec<Vec<u8>> = retries
            .iter()
            .map(serde_json::to_vec)
            .collect::<Result<_, _>>()
            .map_err(|error| Error::Fatal(Cause::new("a retry cannot be written", error)))?;
        let done = self.connection.call(self.timeout, |mut session| async move {
            let owner = if rebuilds { rebuilding } else { settled };
            let mut ask = PUT.key(self.names.owner(owned.partition));
            ask.key(self.names.channels(owned.partition)).arg(owner(owned.token, &session.run));
            ask.arg(self.names.queues(owned.partition));
            for (retry, body) in retries.iter().zip(bodies) {
                ask.arg(&retry.to.channel).arg(&retry.key).arg(retry.due.0).arg(body);
            }
            ask.invoke_async::<bool>(&mut session.link).await
        });
        Ok(kept(done.await?))
    }

    async fn remove_some(&self, owned: Owned, retries: Vec<&Retry>) -> Result<Kept, Error> {
        let done = self.connection.call(self.timeout, |mut session| async move {
            let mut ask = REMOVE.key(self.names.owner(owned.partition));
            ask.arg(settled(owned.token, &session.run)).arg(self.names.queues(owned.partition));
            for retry in retries {
                ask.arg(&retry.to.channel).arg(&retry.key);
            }
            ask.invoke_async::<bool>(&mut session.link).await
        });
        Ok(kept(done.await?))
    }
}

#[async_trait]
impl RetryIndex for RedisRetryIndex {
    async fn put(&self, owned: &[Owned], retries: &[Retry]) -> Result<Vec<Partition>, Error> {
        let put = |owned, some| self.put_some(owned, false, some);
        each_partition(owned, retries, put).await
    }

    async fn remove(&self, owned: &[Owned], retries: &[Retry]) -> Result<Vec<Partition>, Error> {
        each_partition(owned, retries, |owned, some| self.remove_some(owned, some)).await
    }

    async fn take(
        &self,
        owned: &[Owned],
        channel: &str,
        now: WallTime,
        until: WallTime,
        most: usize,
    ) -> Result<Taken, Error> {
        if owned.is_empty() || most == 0 {
            return Ok(Taken::default());
        }
        let asked = self.connection.call(self.timeout, |mut session| async move {
            let mut ask = TAKE.prepare_invoke();
            ask.arg(channel).arg(now.0).arg(until.0).arg(most);
            for it in owned {
                ask.key(self.names.owner(it.partition)).arg(settled(it.token, &session.run));
                ask.arg(self.names.queues(it.partition));
            }
            ask.invoke_async::<(Vec<usize>, Vec<(i64, Vec<u8>)>)>(&mut session.link).await
        });
        let (lost, due) = asked.await?;
        let retries = due.iter().map(|(due, body)| read(*due, body)).collect::<Result<_, Error>>()?;
        Ok(Taken { retries, lost: partitions(owned, &lost) })
    }

    async fn waiting(&self, owned: &[Owned]) -> Result<Waiting, Error> {
        if owned.is_empty() {
            return Ok(Waiting::default());
        }
        let asked = self.connection.call(self.timeout, |mut session| async move {
            let mut ask = WAITING.prepare_invoke();
            for it in owned {
                ask.key(self.names.owner(it.partition)).key(self.names.channels(it.partition));
                ask.arg(settled(it.token, &session.run)).arg(self.names.queues(it.partition));
            }
            ask.invoke_async::<(Vec<usize>, Vec<(String, u64)>)>(&mut session.link).await
        });
        let (lost, counts) = asked.await?;
        let mut by_channel: BTreeMap<String, u64> = BTreeMap::new();
        for (channel, count) in counts {
            *by_channel.entry(channel).or_default() += count;
        }
        Ok(Waiting { by_channel: by_channel.into_iter().collect(), lost: partitions(owned, &lost) })
    }

    async fn clear(&self, owned: Owned) -> Result<(), Error> {
        let cleared = self.connection.call(self.timeout, |mut session| async move {
            let mut ask = CLEAR.key(self.names.owner(owned.partition));
            ask.key(self.names.channels(owned.partition)).arg(rebuilding(owned.token, &session.run));
            ask.arg(self.names.queues(owned.partition)).invoke_async::<bool>(&mut session.link).await
        });
        cleared.await.map(|_| ())
    }

    async fn restore(&self, owned: Owned, retries: &[Retry]) -> Result<Kept, Error> {
        for some in retries.chunks(SCRIPT_KEYS) {
            if self.put_some(owned, true, some.iter().collect()).await? == Kept::Lost {
                return Ok(Kept::Lost);
            }
        }
        Ok(Kept::Done)
    }

    async fn seed(&self, owned: Owned) -> Result<Kept, Error> {
        let seeded = self.connection.call(self.timeout, |mut session| async move {
            let mut ask = SEED.key(self.names.owner(owned.partition));
            ask.arg(rebuilding(owned.token, &session.run)).arg(settled(owned.token, &session.run));
            ask.invoke_async::<bool>(&mut session.link).await
        });
        Ok(kept(seeded.await?))
    }
}

fn kept(is_kept: bool) -> Kept {
    if is_kept { Kept::Done } else { Kept::Lost }
}

/// Returns the sentinel of a partition whose index is complete.
fn settled(token: u64, run: &str) -> String {
    format!("{token}@{run}")
}

/// Returns the sentinel of a partition whose index is being rebuilt.
fn rebuilding(token: u64, run: &str) -> String {
    format!("rebuilt by {token}@{run}")
}

fn read(due: i64, body: &[u8]) -> Result<Retry, Error> {
    let retry: Retry = serde_json::from_slice(body)
        .map_err(|error| Error::Fatal(Cause::new("a retry in Redis cannot be read", error)))?;
    Ok(Retry { due: WallTime(due), ..retry })
}

/// Returns partitions by their indexes in an answer, which begin at 1.
fn partitions(owned: &[Owned], places: &[usize]) -> Vec<Partition> {
    places.iter().filter_map(|place| Some(owned.get(place.checked_sub(1)?)?.partition)).collect()
}

/// Applies `change` to the retries of each partition, in bounded parts. Returns the partitions
/// whose index was lost.
async fn each_partition<'a, F: Future<Output = Result<Kept, Error>>>(
    owned: &[Owned],
    retries: &'a [Retry],
    change: impl Fn(Owned, Vec<&'a Retry>) -> F,
) -> Result<Vec<Partition>, Error> {
    let mut by_partition: BTreeMap<Partition, Vec<&Retry>> = BTreeMap::new();
    for retry in retries {
        by_partition.entry(retry.partition).or_default().push(retry);
    }
    let mut lost = Vec::new();
    let mut changes = Vec::new();
    for (partition, retries) in by_partition {
        match owned.iter().find(|owned| owned.partition == partition) {
            None => lost.push(partition),
            Some(owned) => {
                let parts = retries.chunks(SCRIPT_KEYS).map(|some| change(*owned, some.to_vec()));
                changes.extend(parts.map(|changed| changed.map_ok(move |kept| (partition, kept))));
            }
        }
    }
    let changed = try_join_all(changes).await?;
    lost.extend(changed.into_iter().filter(|(_, kept)| *kept == Kept::Lost).map(|(partition, _)| partition));
    lost.sort_unstable();
    lost.dedup();
    Ok(lost)
}
