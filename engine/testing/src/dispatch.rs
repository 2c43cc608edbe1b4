//! In-memory implementations of the dispatcher's ports. They outlive a dispatcher that a test
//! kills, as a disk would: the test starts another dispatcher with the same stores.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use pricedrop_model::dispatch::{
    Claim, CurrentPrices, DeadLetter, DeadLetterId, DeadLetters, Leases, NewDeadLetter, NotificationLog,
    Recipient, Recipients, Retry, RetryQueue,
};
use pricedrop_model::ports::Error;
use pricedrop_model::sync::lock;
use pricedrop_model::{
    Currency, Evaluated, Floor, Notification, Partition, Position, ProductId, UserId, WallTime,
};

/// All stores of a dispatcher, in memory.
#[derive(Default)]
pub struct Stores {
    inner: Mutex<Inner>,
    away: AtomicBool,
    delay_ms: AtomicU64,
    calls: AtomicU64,
}

#[derive(Default)]
struct Inner {
    log: BTreeMap<Partition, Vec<Notification>>,
    committed: BTreeMap<Partition, i64>,
    recipients: BTreeMap<(UserId, String, String), Recipient>,
    leases: HashMap<String, Claim>,
    retries: BTreeMap<String, Retry>,
    dead: BTreeMap<DeadLetterId, DeadLetter>,
    next_dead: i64,
    prices: HashMap<(ProductId, Currency), (Evaluated, Floor)>,
}

impl Stores {
    /// Appends notifications to the first partition of the log.
    pub fn notify(&self, notifications: impl IntoIterator<Item = Notification>) {
        self.notify_in(Partition(0), notifications);
    }

    /// Appends notifications to a partition of the log.
    pub fn notify_in(&self, partition: Partition, notifications: impl IntoIterator<Item = Notification>) {
        self.lock().log.entry(partition).or_default().extend(notifications);
    }

    /// Returns a reader of the first partition that starts at its committed offset.
    pub fn reader(self: &Arc<Stores>) -> Box<dyn NotificationLog> {
        self.reader_of(&Arc::new(Assignment::of([Partition(0)])))
    }

    /// Returns a reader of the partitions that are assigned to it. It starts at their committed
    /// offsets.
    pub fn reader_of(self: &Arc<Stores>, assignment: &Arc<Assignment>) -> Box<dyn NotificationLog> {
        let mut reader = Reader {
            stores: Arc::clone(self),
            assignment: Arc::clone(assignment),
            epoch: 0,
            next: BTreeMap::new(),
        };
        reader.go_back();
        Box::new(reader)
    }

    /// Returns the committed offset of the first partition.
    pub fn committed(&self) -> i64 {
        self.committed_in(Partition(0))
    }

    /// Returns the committed offset of a partition.
    pub fn committed_in(&self, partition: Partition) -> i64 {
        self.lock().committed.get(&partition).copied().unwrap_or(0)
    }

    /// Returns the lease or the confirmation of a delivery key.
    pub fn claim_of(&self, key: &str) -> Option<Claim> {
        self.lock().leases.get(key).copied()
    }

    /// Returns the entries of the retry queue, ordered by key.
    pub fn retries(&self) -> Vec<Retry> {
        self.lock().retries.values().cloned().collect()
    }

    /// Returns the dead letters in the order of their ids.
    pub fn dead(&self) -> Vec<DeadLetter> {
        self.lock().dead.values().cloned().collect()
    }

    /// Sets the current price of a product. No crossing watch has fired.
    pub fn set_price(&self, product: &ProductId, currency: Currency, evaluated: Evaluated) {
        self.set_price_and_floor(product, currency, evaluated, Floor::Infinite);
    }

    /// Sets the current price of a product, and which crossing watches have fired.
    pub fn set_price_and_floor(
        &self,
        product: &ProductId,
        currency: Currency,
        evaluated: Evaluated,
        floor: Floor,
    ) {
        self.lock().prices.insert((product.clone(), currency), (evaluated, floor));
    }

    /// Makes every later call fail, or work again.
    pub fn set_away(&self, away: bool) {
        self.away.store(away, SeqCst);
    }

    /// Delays every later call by `ms` milliseconds.
    pub fn set_delay_ms(&self, ms: u64) {
        self.delay_ms.store(ms, SeqCst);
    }

    /// Returns the number of calls to any of the stores.
    pub fn calls(&self) -> u64 {
        self.calls.load(SeqCst)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    async fn open(&self) -> Result<MutexGuard<'_, Inner>, Error> {
        self.calls.fetch_add(1, SeqCst);
        let delay_ms = self.delay_ms.load(SeqCst);
        if delay_ms > 0 {
            tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        }
        match self.away.load(SeqCst) {
            true => Err(Error::Unavailable("away, as the test wishes".into())),
            false => Ok(self.lock()),
        }
    }
}

/// The partitions that are assigned to a reader. A test can change them while it reads.
#[derive(Default)]
pub struct Assignment(Mutex<(u64, Vec<Partition>)>);

impl Assignment {
    /// Creates an assignment of these partitions.
    pub fn of(partitions: impl IntoIterator<Item = Partition>) -> Assignment {
        Assignment(Mutex::new((0, partitions.into_iter().collect())))
    }

    /// From now on, assigns these partitions.
    pub fn change(&self, partitions: impl IntoIterator<Item = Partition>) {
        let mut inner = lock(&self.0);
        *inner = (inner.0 + 1, partitions.into_iter().collect());
    }

    fn now(&self) -> (u64, Vec<Partition>) {
        lock(&self.0).clone()
    }
}

struct Reader {
    stores: Arc<Stores>,
    assignment: Arc<Assignment>,
    /// The version of the assignment that `next` was made for.
    epoch: u64,
    next: BTreeMap<Partition, i64>,
}

impl Reader {
    /// Restarts at the committed offsets of the partitions that are assigned now.
    fn go_back(&mut self) {
        let (epoch, partitions) = self.assignment.now();
        self.epoch = epoch;
        let offset = |partition| (partition, self.stores.committed_in(partition));
        self.next = partitions.into_iter().map(offset).collect();
    }

    fn moved(&self) -> bool {
        self.assignment.now().0 != self.epoch
    }
}

#[async_trait]
impl NotificationLog for Reader {
    async fn next_batch(
        &mut self,
        most: usize,
        wait_ms: u64,
    ) -> Result<Vec<(Position, Notification)>, Error> {
        const STEP_MS: u64 = 2;
        let mut waited = 0;
        loop {
            if self.moved() {
                self.go_back();
                return Err(Error::Rebalanced("partitions moved, as the test wishes".into()));
            }
            let batch: Vec<_> = {
                let inner = self.stores.open().await?;
                let behind = |(partition, next): (&Partition, &i64)| {
                    let (partition, next) = (*partition, *next);
                    let at = move |offset| Position { partition, offset };
                    let entries = inner.log.get(&partition).into_iter().flatten().skip(next as usize);
                    (next..).map(at).zip(entries.cloned()).collect::<Vec<_>>()
                };
                self.next.iter().flat_map(behind).take(most).collect()
            };
            if !batch.is_empty() || waited >= wait_ms {
                for (position, _) in &batch {
                    self.next.insert(position.partition, position.offset + 1);
                }
                return Ok(batch);
            }
            tokio::time::sleep(Duration::from_millis(STEP_MS)).await;
            waited += STEP_MS;
        }
    }

    async fn commit(&mut self, next: &[(Partition, i64)]) -> Result<(), Error> {
        let mut inner = self.stores.open().await?;
        if !self.moved() {
            inner.committed.extend(next.iter().copied());
        }
        Ok(())
    }
}

#[async_trait]
impl Recipients for Stores {
    async fn of(&self, users: &[UserId]) -> Result<Vec<Vec<Recipient>>, Error> {
        let inner = self.open().await?;
        let of = |user: &UserId| {
            let from = (user.clone(), String::new(), String::new());
            let own = inner.recipients.range(from..).take_while(|(key, _)| key.0 == *user);
            own.map(|(_, recipient)| recipient.clone()).collect()
        };
        Ok(users.iter().map(of).collect())
    }

    async fn put(&self, recipients: Vec<Recipient>) -> Result<(), Error> {
        let mut inner = self.open().await?;
        for recipient in recipients {
            let key = (recipient.user_id.clone(), recipient.channel.clone(), recipient.address.clone());
            inner.recipients.insert(key, recipient);
        }
        Ok(())
    }

    async fn delete(&self, user: &UserId, channel: &str, address: &str) -> Result<bool, Error> {
        let key = (user.clone(), channel.to_owned(), address.to_owned());
        Ok(self.open().await?.recipients.remove(&key).is_some())
    }

    async fn list(&self, after: Option<&Recipient>, most: usize) -> Result<Vec<Recipient>, Error> {
        let inner = self.open().await?;
        let after = after.map(|last| (last.user_id.clone(), last.channel.clone(), last.address.clone()));
        let behind = inner.recipients.iter().filter(|(key, _)| after.as_ref().is_none_or(|last| *key > last));
        Ok(behind.take(most).map(|(_, recipient)| recipient.clone()).collect())
    }
}

#[async_trait]
impl Leases for Stores {
    async fn claim(&self, keys: &[String], now: WallTime, until: WallTime) -> Result<Vec<Claim>, Error> {
        let mut inner = self.open().await?;
        let mut claim = |key: &String| match inner.leases.get(key) {
            Some(Claim::Leased(end)) if *end > now => Claim::Leased(*end),
            Some(Claim::Delivered) => Claim::Delivered,
            _ => {
                inner.leases.insert(key.clone(), Claim::Leased(until));
                Claim::Yours
            }
        };
        Ok(keys.iter().map(&mut claim).collect())
    }

    async fn confirm(&self, keys: &[String], _now: WallTime) -> Result<(), Error> {
        let mut inner = self.open().await?;
        inner.leases.extend(keys.iter().map(|key| (key.clone(), Claim::Delivered)));
        Ok(())
    }

    async fn release(&self, keys: &[String]) -> Result<(), Error> {
        let mut inner = self.open().await?;
        for key in keys {
            if matches!(inner.leases.get(key), Some(Claim::Leased(_))) {
                inner.leases.remove(key);
            }
        }
        Ok(())
    }
}

#[async_trait]
impl RetryQueue for Stores {
    async fn put(&self, retries: Vec<Retry>) -> Result<(), Error> {
        let mut inner = self.open().await?;
        inner.retries.extend(retries.into_iter().map(|retry| (retry.key.clone(), retry)));
        Ok(())
    }

    async fn take(
        &self,
        channel: &str,
        now: WallTime,
        until: WallTime,
        most: usize,
    ) -> Result<Vec<Retry>, Error> {
        let mut inner = self.open().await?;
        let mut due: Vec<_> = inner
            .retries
            .values_mut()
            .filter(|retry| retry.to.channel == channel && retry.due <= now)
            .collect();
        due.sort_by_key(|retry| retry.due);
        due.truncate(most);
        Ok(due
            .into_iter()
            .map(|retry| std::mem::replace(retry, Retry { due: until, ..retry.clone() }))
            .collect())
    }

    async fn remove(&self, retries: &[Retry]) -> Result<(), Error> {
        let mut inner = self.open().await?;
        for retry in retries {
            inner.retries.remove(&retry.key);
        }
        Ok(())
    }

    async fn waiting(&self) -> Result<Vec<(String, u64)>, Error> {
        let mut counts = BTreeMap::new();
        for retry in self.open().await?.retries.values() {
            *counts.entry(retry.to.channel.clone()).or_insert(0) += 1;
        }
        Ok(counts.into_iter().collect())
    }
}

#[async_trait]
impl DeadLetters for Stores {
    async fn add(&self, letters: Vec<NewDeadLetter>) -> Result<(), Error> {
        let mut inner = self.open().await?;
        for letter in letters {
            let offset = inner.next_dead;
            inner.next_dead += 1;
            let id = DeadLetterId { topic: "dlq".into(), partition: Partition(0), offset };
            inner.dead.insert(id.clone(), letter.with_id(id));
        }
        Ok(())
    }

    async fn list(&self, after: Option<&DeadLetterId>, most: usize) -> Result<Vec<DeadLetter>, Error> {
        let inner = self.open().await?;
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let page = inner.dead.range((after, Bound::Unbounded));
        Ok(page.take(most).map(|(_, letter)| letter.clone()).collect())
    }

    async fn get(&self, id: &DeadLetterId) -> Result<Option<DeadLetter>, Error> {
        Ok(self.open().await?.dead.get(id).cloned())
    }

    async fn remove(&self, id: &DeadLetterId) -> Result<(), Error> {
        self.open().await?.dead.remove(id);
        Ok(())
    }
}

#[async_trait]
impl CurrentPrices for Stores {
    async fn of(&self, product: &ProductId, currency: Currency) -> Result<Option<(Evaluated, Floor)>, Error> {
        Ok(self.open().await?.prices.get(&(product.clone(), currency)).copied())
    }
}

#[cfg(test)]
mod tests {
    use super::Stores;

    async fn open() -> (Stores, ()) {
        (Stores::default(), ())
    }

    crate::conform!(open, leases);
    crate::conform!(open, retries);
    crate::conform!(open, recipients);
    crate::conform!(open, dead_letters);
}
