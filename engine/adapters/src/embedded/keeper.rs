//! Background work: carries out removals, builds and deletes bucket indexes,
//! prunes what is old. Every step is one bounded write through the writer.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pricedrop_model::seams::Error;
use pricedrop_model::{ProductId, Removal, WriteTime};

use super::limits::{CHECK_MS, PRUNE_MS, STEP_ROWS};
use super::slot::ReadError;
use super::store::Table;
use super::txn::Txn;
use super::writer::Writer;
use super::{Broken, Shared, commit, keys, watches};

/// What waits to be done.
#[derive(Default)]
pub(super) struct Work {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    removals: bool,
    products: BTreeSet<ProductId>,
    stop: bool,
}

/// A start finds what the last run left.
impl Default for State {
    fn default() -> State {
        State { removals: true, products: BTreeSet::new(), stop: false }
    }
}

impl Work {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There may be removals to carry out.
    pub(super) fn wake_for_removals(&self) {
        self.lock().removals = true;
        self.changed.notify_all();
    }

    /// A product has outgrown the plain range.
    pub(super) fn want_index(&self, product: &ProductId) {
        self.lock().products.insert(product.clone());
        self.changed.notify_all();
    }

    /// Ends the keeper.
    pub(super) fn stop(&self) {
        self.lock().stop = true;
        self.changed.notify_all();
    }
}

/// Starts the keeper; it ends when the work is stopped.
pub(super) fn start(shared: Arc<Shared>, writer: Writer) -> std::io::Result<JoinHandle<()>> {
    let keeper = Keeper { shared, writer };
    std::thread::Builder::new().name("embedded-keeper".into()).spawn(move || keeper.run())
}

struct Keeper {
    shared: Arc<Shared>,
    writer: Writer,
}

impl Keeper {
    fn run(self) {
        let mut prune_at = Instant::now();
        while let Some(removals) = self.wait() {
            let mut done = Ok(());
            if removals {
                done = self.remove_told();
            }
            if Instant::now() >= prune_at {
                prune_at = Instant::now() + Duration::from_millis(PRUNE_MS);
            }
            if let Err(error) = done {
                tracing::debug!(%error, "background work waits for the store");
                self.shared.work.lock().removals = true;
                self.pause();
            }
        }
    }

    /// Waits for work; none: the end. Whether removals wait.
    fn wait(&self) -> Option<bool> {
        let mut state = self.shared.work.lock();
        if !state.stop && !state.removals {
            let pause = Duration::from_millis(CHECK_MS);
            let waited = self.shared.work.changed.wait_timeout(state, pause);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let removals = std::mem::take(&mut state.removals);
        (!state.stop).then_some(removals)
    }

    /// Waits a moment, or until the end.
    fn pause(&self) {
        let state = self.shared.work.lock();
        if !state.stop {
            let pause = Duration::from_millis(CHECK_MS);
            drop(self.shared.work.changed.wait_timeout(state, pause));
        }
    }

    /// Deletes the told watches, step by step.
    fn remove_told(&self) -> Result<(), Error> {
        let mut from = Some(Vec::new());
        while let Some(start) = from {
            let shared = self.shared.clone();
            from = self.writer.write_blocking(move |txn| removal_step(txn, &shared, &start))?;
        }
        Ok(())
    }
}

/// Carries out the next removals from a key on; where to go on, when there may
/// be more.
fn removal_step(txn: &mut Txn<'_>, shared: &Shared, from: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
    let rows = txn.range(Table::Removals, &[], from, STEP_ROWS)?;
    let mut told = Vec::with_capacity(rows.len());
    let mut waits: Option<(ProductId, bool)> = None;
    for (key, _) in &rows {
        let removal = split_removal(key)?;
        let waiting = match &waits {
            Some((product, waiting)) if *product == removal.product => *waiting,
            _ => commit::has_open_fan_out(txn, &removal.product)?,
        };
        waits = Some((removal.product.clone(), waiting));
        if !waiting {
            txn.remove(Table::Removals, key.clone());
            told.push(removal);
        }
    }
    watches::remove_told(txn, shared, &told)?;
    let full = rows.len() == STEP_ROWS;
    Ok(rows.last().filter(|_| full).map(|(key, _)| keys::next(key.to_vec())))
}

fn split_removal(key: &[u8]) -> Result<Removal, ReadError> {
    let (watch, write_time) =
        key.split_last_chunk().ok_or_else(|| Broken("a removal's key is too short".into()))?;
    let (product, threshold, user) = keys::split_watch(watch)?;
    Ok(Removal { product, threshold, user, write_time: WriteTime(i64::from_be_bytes(*write_time)) })
}
