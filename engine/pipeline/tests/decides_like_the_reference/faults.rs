//! Injects faults into ports. A commit fails, or succeeds without a response; after either, the
//! process of the notifier may be dead. A read fails. A commit takes a random time, so it may end
//! at any point while the next batch is decided.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use pricedrop_memory::{MemoryCommitter, MemoryWatches};
use pricedrop_model::ports::{
    Commit, CommitError, Committer, Error, Restored, Scan, Summary, WatchStore, WatchView,
};
use pricedrop_model::{Cursor, Partition, ProductId, ProductState, StateKey, ViewTime, WallTime, WatchPage};

use crate::group::Member;
use crate::harness::Dice;
use crate::journal::Journal;
use crate::script::Script;

/// How a commit fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The commit failed, and the notifier knows it.
    NotCommitted,
    /// The commit failed, but its outcome is unknown to the notifier.
    UnknownBefore,
    /// The commit succeeded, but its outcome is unknown to the notifier.
    UnknownAfter,
    /// The process died before the commit.
    DeathBefore,
    /// The process died after the commit.
    DeathAfter,
    /// Another worker acquired the partition, so the commit failed.
    Fenced,
}

impl Fault {
    pub const ALL: [Fault; 6] = [
        Fault::NotCommitted,
        Fault::UnknownBefore,
        Fault::UnknownAfter,
        Fault::DeathBefore,
        Fault::DeathAfter,
        Fault::Fenced,
    ];
}

/// The faults of a run.
#[derive(Debug, Clone)]
pub enum Faults {
    /// No faults.
    None,
    /// One fault, at the commit of this number.
    At(usize, Fault),
    /// One in this many commits and reads fails; the second number is the seed that chooses them.
    OneIn(u64, u64),
}

/// Chooses at random which reads fail.
#[derive(Clone)]
pub struct Lots {
    one_in: Option<u64>,
    dice: Arc<Mutex<Dice>>,
}

impl Lots {
    pub fn new(faults: &Faults, seed: u64) -> Lots {
        let one_in = match faults {
            Faults::OneIn(one_in, _) => Some(one_in * 4),
            _ => None,
        };
        Lots { one_in, dice: Arc::new(Mutex::new(Dice(seed))) }
    }

    fn roll(&self, sides: u64) -> u64 {
        self.dice.lock().unwrap().roll(sides)
    }

    /// Fails at random as if the store were unavailable.
    pub fn unavailable(&self) -> Result<(), Error> {
        match self.one_in {
            Some(one_in) if self.roll(one_in) == 0 => Err(Error::Unavailable("a fault".into())),
            _ => Ok(()),
        }
    }

    /// Fails at random as if the store were unavailable or partitions had been reassigned.
    pub fn unavailable_or_moved(&self) -> Result<(), Error> {
        self.unavailable()?;
        self.unavailable().map_err(|_| Error::Rebalanced("a fault".into()))
    }

    /// Lets other tasks run for a while.
    async fn take_time(&self) {
        for _ in 0..self.roll(4) {
            tokio::task::yield_now().await;
        }
    }
}

impl Faults {
    fn of_commit(&self, number: usize) -> Option<Fault> {
        match *self {
            Faults::None => None,
            Faults::At(at, fault) => (at == number).then_some(fault),
            Faults::OneIn(one_in, seed) => {
                let mut dice = Dice(seed.wrapping_add(number as u64 * 977));
                let fault = Fault::ALL[dice.roll(Fault::ALL.len() as u64) as usize];
                (dice.roll(one_in) == 0).then_some(fault)
            }
        }
    }
}

/// A committer with faults. Clones share everything, as clients of one database do.
#[derive(Clone)]
pub struct FaultyCommitter {
    pub inner: MemoryCommitter,
    /// The input that the source of the same notifier reads.
    pub script: Arc<Mutex<Script>>,
    pub faults: Faults,
    pub lots: Lots,
    pub journal: Arc<Mutex<Journal>>,
    /// The group member that owns this committer.
    pub member: Member,
    /// The number of commits attempted by all committers.
    pub commits: Arc<Mutex<usize>>,
    /// Whether the process of this committer has died.
    pub dead: Arc<AtomicBool>,
    /// Whether states are encoded and decoded, as every store does that outlives the process. The
    /// order of events with the same time does not survive this, and is needed without a clock.
    pub encodes: bool,
}

#[async_trait]
impl Committer for FaultyCommitter {
    async fn restore(&mut self) -> Result<Restored, Error> {
        // A dead process does not restore; its successor does.
        if self.dead.swap(false, Ordering::SeqCst) {
            return Err(Error::Fatal("died".into()));
        }
        self.lots.unavailable_or_moved()?;
        let mine = self.member.take_over();
        let mut restored = self.inner.restore().await?;
        let stored = |partition: &Partition| restored.offsets.iter().find(|(stored, _)| stored == partition);
        let next = |partition: &Partition| stored(partition).map_or(0, |(_, next)| *next);
        restored.offsets = mine.iter().map(|partition| (*partition, next(partition))).collect();
        restored.unfinished.retain(|(key, _)| mine.contains(&key.partition));
        self.script.lock().unwrap().go_back(&restored.offsets);
        Ok(restored)
    }

    async fn load(
        &mut self,
        products: &[(Partition, ProductId)],
    ) -> Result<Vec<(StateKey, ProductState)>, Error> {
        self.lots.unavailable_or_moved()?;
        if !self.member.has(products.iter().map(|(partition, _)| *partition)) {
            return Err(Error::Rebalanced("partitions moved".into()));
        }
        self.journal.lock().unwrap().begin();
        let mut loaded = self.inner.load(products).await?;
        for (_, state) in loaded.iter_mut().filter(|_| self.encodes) {
            *state = ProductState::decode(&state.encode())?;
        }
        Ok(loaded)
    }

    async fn commit(&mut self, commit: Commit) -> Result<(), CommitError> {
        let number = {
            let mut commits = self.commits.lock().unwrap();
            *commits += 1;
            *commits - 1
        };
        let fault = self.faults.of_commit(number);
        let carried = self.journal.lock().unwrap().carried();
        self.lots.take_time().await;
        if !self.member.has(commit.offsets.iter().map(|(partition, _)| *partition)) {
            return Err(CommitError::Fenced("partitions moved".into()));
        }
        if matches!(fault, None | Some(Fault::UnknownAfter | Fault::DeathAfter)) {
            self.inner.commit(commit).await?;
            self.journal.lock().unwrap().commit(carried);
            self.lots.take_time().await;
        }
        if matches!(fault, Some(Fault::DeathBefore | Fault::DeathAfter)) {
            self.dead.store(true, Ordering::SeqCst);
        }
        match fault {
            None => Ok(()),
            Some(Fault::NotCommitted) => Err(CommitError::NotCommitted("a fault".into())),
            Some(Fault::Fenced) => Err(CommitError::Fenced("a fault".into())),
            Some(_) => Err(CommitError::Unknown("a fault".into())),
        }
    }
}

/// Watches whose reads fail at random.
pub struct FaultyWatches {
    pub inner: Arc<MemoryWatches>,
    pub lots: Lots,
    pub journal: Arc<Mutex<Journal>>,
}

#[async_trait]
impl WatchStore for FaultyWatches {
    async fn view(&self) -> Result<Box<dyn WatchView>, Error> {
        self.lots.unavailable()?;
        let inner = self.inner.view().await?;
        self.journal.lock().unwrap().view(true);
        let (lots, journal) = (self.lots.clone(), self.journal.clone());
        Ok(Box::new(FaultyView { inner, lots, journal, announced: BTreeSet::new() }))
    }
}

struct FaultyView {
    inner: Box<dyn WatchView>,
    lots: Lots,
    journal: Arc<Mutex<Journal>>,
    /// Products that were prefetched.
    announced: BTreeSet<ProductId>,
}

impl Drop for FaultyView {
    fn drop(&mut self) {
        self.journal.lock().unwrap().view(false);
    }
}

#[async_trait]
impl WatchView for FaultyView {
    fn wall_time(&self) -> WallTime {
        self.inner.wall_time()
    }

    fn time(&self) -> ViewTime {
        self.inner.time()
    }

    async fn prefetch(&mut self, scans: &[Scan<'_>]) -> Result<(), Error> {
        self.lots.unavailable()?;
        self.lots.take_time().await;
        self.announced.extend(scans.iter().map(|scan| scan.product.clone()));
        Ok(())
    }

    async fn summary(&mut self, product: &ProductId) -> Result<Summary, Error> {
        assert!(self.announced.contains(product), "{product} is read alone");
        self.lots.unavailable()?;
        self.lots.take_time().await;
        self.inner.summary(product).await
    }

    async fn scan(&mut self, scan: &Scan<'_>, page: &mut WatchPage) -> Result<Option<Cursor>, Error> {
        self.lots.unavailable()?;
        self.inner.scan(scan, page).await
    }
}
