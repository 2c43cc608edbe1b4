//! What can go wrong at the seams: commits that do not happen, or happen
//! unheard, with the notifier alive or dead afterwards; reads that fail.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use pricedrop_adapters::memory::{MemoryCommitter, MemoryWatches};
use pricedrop_model::seams::{
    Commit, CommitError, Committer, Error, Restored, Scan, Summary, WatchStore, WatchView,
};
use pricedrop_model::{Cursor, Partition, ProductId, ProductState, StateKey, WallTime, WatchPage};

use crate::harness::Dice;
use crate::journal::Journal;

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
    inner: MemoryCommitter,
    faults: Faults,
    journal: Arc<Mutex<Journal>>,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    commits: usize,
    dead: bool,
}

impl FaultyCommitter {
    pub fn new(inner: MemoryCommitter, faults: Faults, journal: Arc<Mutex<Journal>>) -> FaultyCommitter {
        FaultyCommitter { inner, faults, journal, shared: Arc::default() }
    }

    /// How many commits were tried.
    pub fn commits(&self) -> usize {
        self.shared.lock().unwrap().commits
    }
}

#[async_trait]
impl Committer for FaultyCommitter {
    async fn restore(&mut self) -> Result<Restored, Error> {
        // The dead do not restore: whoever comes after them does.
        if std::mem::take(&mut self.shared.lock().unwrap().dead) {
            return Err(Error::Broken("died".into()));
        }
        self.inner.restore().await
    }

    async fn load(
        &mut self,
        products: &[(Partition, ProductId)],
    ) -> Result<Vec<(StateKey, ProductState)>, Error> {
        // Through the stored form, as every real committer does.
        let mut loaded = self.inner.load(products).await?;
        for (_, state) in &mut loaded {
            *state = ProductState::decode(&state.encode())?;
        }
        Ok(loaded)
    }

    async fn commit(&mut self, commit: Commit) -> Result<(), CommitError> {
        let number = {
            let mut shared = self.shared.lock().unwrap();
            shared.commits += 1;
            shared.commits - 1
        };
        let fault = self.faults.of_commit(number);
        if matches!(fault, None | Some(Fault::UnknownAfter | Fault::DeathAfter)) {
            self.inner.commit(commit).await?;
            self.journal.lock().unwrap().commit();
        }
        if matches!(fault, Some(Fault::DeathBefore | Fault::DeathAfter)) {
            self.shared.lock().unwrap().dead = true;
        }
        match fault {
            None => Ok(()),
            Some(Fault::Nothing) => Err(CommitError::Nothing("a fault".into())),
            Some(Fault::Fenced) => Err(CommitError::Fenced("a fault".into())),
            Some(_) => Err(CommitError::Unknown("a fault".into())),
        }
    }
}

/// Watches whose reads fail now and then.
pub struct FaultyWatches {
    inner: Arc<MemoryWatches>,
    one_in: Option<u64>,
    dice: Arc<Mutex<Dice>>,
    journal: Arc<Mutex<Journal>>,
}

impl FaultyWatches {
    pub fn new(
        inner: Arc<MemoryWatches>,
        faults: &Faults,
        seed: u64,
        journal: Arc<Mutex<Journal>>,
    ) -> FaultyWatches {
        let one_in = match faults {
            Faults::OneIn(one_in, _) => Some(one_in * 4),
            _ => None,
        };
        FaultyWatches { inner, one_in, dice: Arc::new(Mutex::new(Dice(seed ^ 1))), journal }
    }
}

fn fails(one_in: Option<u64>, dice: &Mutex<Dice>) -> Result<(), Error> {
    match one_in {
        Some(one_in) if dice.lock().unwrap().roll(one_in) == 0 => Err(Error::Unavailable("a fault".into())),
        _ => Ok(()),
    }
}

#[async_trait]
impl WatchStore for FaultyWatches {
    async fn view(&self) -> Result<Box<dyn WatchView>, Error> {
        self.journal.lock().unwrap().begin();
        fails(self.one_in, &self.dice)?;
        let inner = self.inner.view().await?;
        Ok(Box::new(FaultyView { inner, one_in: self.one_in, dice: self.dice.clone() }))
    }
}

struct FaultyView {
    inner: Box<dyn WatchView>,
    one_in: Option<u64>,
    dice: Arc<Mutex<Dice>>,
}

#[async_trait]
impl WatchView for FaultyView {
    fn wall_time(&self) -> WallTime {
        self.inner.wall_time()
    }

    async fn summary(&mut self, product: &ProductId) -> Result<Summary, Error> {
        fails(self.one_in, &self.dice)?;
        self.inner.summary(product).await
    }

    async fn scan(&mut self, scan: &Scan<'_>, page: &mut WatchPage) -> Result<Option<Cursor>, Error> {
        fails(self.one_in, &self.dice)?;
        self.inner.scan(scan, page).await
    }
}
