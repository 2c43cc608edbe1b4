//! The index of retries in memory, for a single instance.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use pricedrop_model::dispatch::Retry;
use pricedrop_model::ports::Error;
use pricedrop_model::sync::lock;
use pricedrop_model::{Partition, WallTime};

use pricedrop_model::retry_index::{Kept, Owned, RetryIndex, Taken, Waiting};

/// The retry index in memory, for a single dispatcher.
#[derive(Default)]
pub struct MemoryRetryIndex {
    partitions: Mutex<BTreeMap<Partition, Part>>,
}

/// The index of one partition.
#[derive(Default)]
struct Part {
    token: u64,
    complete: bool,
    retries: BTreeMap<String, Retry>,
    due: BTreeSet<(String, WallTime, String)>,
}

impl Part {
    fn put(&mut self, retry: &Retry) {
        self.remove(&retry.key);
        self.due.insert((retry.to.channel.clone(), retry.due, retry.key.clone()));
        self.retries.insert(retry.key.clone(), retry.clone());
    }

    fn remove(&mut self, key: &str) {
        if let Some(old) = self.retries.remove(key) {
            self.due.remove(&(old.to.channel, old.due, old.key));
        }
    }

    /// Returns the keys that are due on a channel, with their due times, the longest due first.
    fn due(&self, channel: &str, now: WallTime, most: usize) -> Vec<(WallTime, String)> {
        let from = (channel.to_owned(), WallTime(i64::MIN), String::new());
        let due = self.due.range(from..).take_while(|(of, at, _)| of == channel && *at <= now);
        due.take(most).map(|(_, at, key)| (*at, key.clone())).collect()
    }
}

impl MemoryRetryIndex {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Partition, Part>> {
        lock(&self.partitions)
    }

    /// Changes the index of each retry's partition. Returns the partitions without a complete
    /// index.
    fn change(&self, owned: &[Owned], retries: &[Retry], each: impl Fn(&mut Part, &Retry)) -> Vec<Partition> {
        let mut parts = self.lock();
        let mut lost = BTreeSet::new();
        for retry in retries {
            let ours = owned.iter().find(|one| one.partition == retry.partition);
            match ours.and_then(|ours| complete(&mut parts, *ours)) {
                Some(part) => each(part, retry),
                None => {
                    lost.insert(retry.partition);
                }
            }
        }
        lost.into_iter().collect()
    }
}

fn complete(parts: &mut BTreeMap<Partition, Part>, ours: Owned) -> Option<&mut Part> {
    parts.get_mut(&ours.partition).filter(|part| part.token == ours.token && part.complete)
}

fn rebuilt(parts: &mut BTreeMap<Partition, Part>, ours: Owned) -> Option<&mut Part> {
    parts.get_mut(&ours.partition).filter(|part| part.token == ours.token && !part.complete)
}

#[async_trait]
impl RetryIndex for MemoryRetryIndex {
    async fn put(&self, owned: &[Owned], retries: &[Retry]) -> Result<Vec<Partition>, Error> {
        Ok(self.change(owned, retries, Part::put))
    }

    async fn remove(&self, owned: &[Owned], retries: &[Retry]) -> Result<Vec<Partition>, Error> {
        Ok(self.change(owned, retries, |part, retry| part.remove(&retry.key)))
    }

    async fn take(
        &self,
        owned: &[Owned],
        channel: &str,
        now: WallTime,
        until: WallTime,
        most: usize,
    ) -> Result<Taken, Error> {
        let mut parts = self.lock();
        let (mut due, mut taken) = (Vec::new(), Taken::default());
        for ours in owned {
            match complete(&mut parts, *ours) {
                Some(part) => {
                    let own = part.due(channel, now, most);
                    due.extend(own.into_iter().map(|(at, key)| (at, key, ours.partition)));
                }
                None => taken.lost.push(ours.partition),
            }
        }
        due.sort();
        for (_, key, partition) in due.into_iter().take(most) {
            let Some(part) = parts.get_mut(&partition) else { continue };
            let Some(retry) = part.retries.get(&key).cloned() else { continue };
            part.put(&Retry { due: until, ..retry.clone() });
            taken.retries.push(retry);
        }
        Ok(taken)
    }

    async fn waiting(&self, owned: &[Owned]) -> Result<Waiting, Error> {
        let mut parts = self.lock();
        let (mut counts, mut lost) = (BTreeMap::<String, u64>::new(), Vec::new());
        for ours in owned {
            match complete(&mut parts, *ours) {
                Some(part) => {
                    for (channel, _, _) in &part.due {
                        *counts.entry(channel.clone()).or_default() += 1;
                    }
                }
                None => lost.push(ours.partition),
            }
        }
        Ok(Waiting { by_channel: counts.into_iter().collect(), lost })
    }

    async fn clear(&self, owned: Owned) -> Result<(), Error> {
        self.lock().insert(owned.partition, Part { token: owned.token, ..Part::default() });
        Ok(())
    }

    async fn restore(&self, owned: Owned, retries: &[Retry]) -> Result<Kept, Error> {
        let mut parts = self.lock();
        let Some(part) = rebuilt(&mut parts, owned) else { return Ok(Kept::Lost) };
        retries.iter().for_each(|retry| part.put(retry));
        Ok(Kept::Done)
    }

    async fn seed(&self, owned: Owned) -> Result<Kept, Error> {
        let mut parts = self.lock();
        let Some(part) = rebuilt(&mut parts, owned) else { return Ok(Kept::Lost) };
        part.complete = true;
        Ok(Kept::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::MemoryRetryIndex;

    async fn open() -> (MemoryRetryIndex, ()) {
        (MemoryRetryIndex::default(), ())
    }

    pricedrop_testing::conform!(open, retry_index);
}
