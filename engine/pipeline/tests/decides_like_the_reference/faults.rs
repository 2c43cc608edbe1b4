//! What can go wrong at the ports: commits that do not happen, or happen
//! unheard, with the notifier alive or dead afterwards; reads that fail. A
//! commit takes its time, so that it ends anywhere in the batch decided beside.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use pricedrop_memory::{MemoryCommitter, MemoryWatches};
use pricedrop_model::ports::{
    Commit, CommitError, Committer, Error, Restored, Scan, Summary, WatchStore, WatchView,
};
use pricedrop_model::{Cursor, Partition, ProductId, ProductState, StateKey, WallTime, WatchPage};

use crate::group::Member;
use crate::harness::Dice;
use crate::journal::Journal;
use crate::script::Script;

/// How a commit fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing happened, and that is known.
    Nothing,
    /// Nothing happened, but nobody knows.
    UnknownBefore,
    /// It happened, but nobody knows.
    UnknownAfter,
    /// The process died before it happened.
    DeathBefore,
    /// The process died after it happened.
    DeathAfter,
    /// Somebody else took over; nothing happened.
    Fenced,
}

impl Fault {
    pub const ALL: [Fault; 6] = [
        Fault::Nothing,
        Fault::UnknownBefore,
        Fault::UnknownAfter,
        Fault::DeathBefore,
        Fault::DeathAfter,
        Fault::Fenced,
    ];
}

/// What goes wrong in a run.
#[derive(Debug, Clone)]
pub enum Faults {
    /// Nothing.
    None,
    /// One commit, by its number.
    At(usize, Fault),
    /// One in so many commits and reads; the seed draws which.
    OneIn(u64, u64),
}

/// Lots are drawn so that a read fails now and then.
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

    /// The store is away.
    pub fn unavailable(&self) -> Result<(), Error> {
        match self.one_in {
            Some(one_in) if self.roll(one_in) == 0 => Err(Error::Unavailable("a fault".into())),
            _ => Ok(()),
        }
    }

    /// The store is away, or partitions came or went.
    pub fn unavailable_or_moved(&self) -> Result<(), Error> {
        self.unavailable()?;
        self.unavailable().map_err(|_| Error::Rebalanced("a fault".into()))
    }

    /// Others go on for a while.
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

/// A committer with faults. Copies share everything, as a database would.
#[derive(Clone)]
pub struct FaultyCommitter {
    pub inner: MemoryCommitter,
    /// What the source of the same notifier hands out.
    pub script: Arc<Mutex<Script>>,
    pub faults: Faults,
    pub lots: Lots,
    pub journal: Arc<Mutex<Journal>>,
    /// Whose committer it is.
    pub member: Member,
    /// How many commits were tried, by all.
    pub commits: Arc<Mutex<usize>>,
    /// Whether its process has died.
    pub dead: Arc<AtomicBool>,
}

#[async_trait]
impl Committer for FaultyCommitter {
    async fn restore(&mut self) -> Result<Restored, Error> {
        // The dead do not restore: whoever comes after them does.
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
        // Through the stored form, as every real committer does.
        let mut loaded = self.inner.load(products).await?;
        for (_, state) in &mut loaded {
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
            Some(Fault::Nothing) => Err(CommitError::NotCommitted("a fault".into())),
            Some(Fault::Fenced) => Err(CommitError::Fenced("a fault".into())),
            Some(_) => Err(CommitError::Unknown("a fault".into())),
        }
    }
}

/// Watches whose reads fail now and then.
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
    /// Products that were read ahead.
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
