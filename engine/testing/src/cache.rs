//! An in-memory cache of watches: the simplest one that passes the conformance suite. An entry is
//! stored, is being filled, or is being written by a number of writers.

use std::collections::HashMap;
use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use pricedrop_model::cache::{CacheKey, Cached, WatchCache};
use pricedrop_model::sync::lock;

/// A cache of watches in memory.
#[derive(Default)]
pub struct MemoryWatchCache(Mutex<State>);

#[derive(Default)]
struct State {
    entries: HashMap<CacheKey, Entry>,
    last_lease: u64,
}

#[derive(Default)]
struct Entry {
    stored: Option<Bytes>,
    filler: Option<u64>,
    writers: usize,
}

impl MemoryWatchCache {
    fn with<T>(&self, with: impl FnOnce(&mut State) -> T) -> T {
        with(&mut lock(&self.0))
    }

    fn empty(&self, keys: &[CacheKey], writers: impl Fn(usize) -> usize) {
        self.with(|state| {
            for key in keys {
                let entry = state.entries.entry(key.clone()).or_default();
                *entry = Entry { writers: writers(entry.writers), ..Entry::default() };
            }
        });
    }
}

impl State {
    fn get(&mut self, key: &CacheKey) -> Cached {
        let entry = self.entries.entry(key.clone()).or_default();
        match (&entry.stored, entry.filler, entry.writers) {
            (Some(bytes), ..) => Cached::Hit(bytes.clone()),
            (None, None, 0) => {
                self.last_lease += 1;
                entry.filler = Some(self.last_lease);
                Cached::Fill(self.last_lease)
            }
            _ => Cached::Pass,
        }
    }
}

#[async_trait]
impl WatchCache for MemoryWatchCache {
    async fn get(&self, keys: &[CacheKey]) -> Vec<Cached> {
        self.with(|state| keys.iter().map(|key| state.get(key)).collect())
    }

    async fn fill(&self, key: &CacheKey, lease: u64, bytes: Bytes) {
        self.with(|state| {
            let entry = state.entries.get_mut(key).filter(|entry| entry.filler == Some(lease));
            if let Some(entry) = entry {
                (entry.stored, entry.filler) = (Some(bytes), None);
            }
        });
    }

    async fn begin_invalidation(&self, keys: &[CacheKey]) -> Option<u64> {
        self.empty(keys, |writers| writers + 1);
        None
    }

    async fn end_invalidation(&self, keys: &[CacheKey]) -> Option<u64> {
        self.empty(keys, |writers| writers.saturating_sub(1));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::MemoryWatchCache;

    async fn open() -> (MemoryWatchCache, ()) {
        (MemoryWatchCache::default(), ())
    }

    crate::conform!(open, cache);
}
