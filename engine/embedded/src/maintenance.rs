//! Runs background work on its own thread: removes notified watches, builds and deletes indexes
//! by bucket, and deletes old rows. Each step is one bounded write through the writer.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pricedrop_model::ports::Error;
use pricedrop_model::{ProductId, Removal, WallTime, WriteTime};

use super::error::Broken;
use super::index::ReadPolicies as _;
use super::indexing::{self, Step};
use super::limits::{PRUNE_MS, STEP_ROWS};
use super::shared::Shared;
use super::store_handle::ReadError;
use super::tables::Table;
use super::txn::Txn;
use super::work::Todo;
use super::writer::Writer;
use super::{archive, commit, keys, leases, outbox, watches};

/// Starts the thread, which ends when the work is stopped.
pub(super) fn start(shared: Arc<Shared>, writer: Writer) -> std::io::Result<JoinHandle<()>> {
    let maintenance = Maintenance { shared, writer };
    std::thread::Builder::new().name("embedded-background".into()).spawn(move || maintenance.run())
}

struct Maintenance {
    shared: Arc<Shared>,
    writer: Writer,
}

impl Maintenance {
    fn run(self) {
        let mut prune_at = Instant::now();
        while let Some(mut todo) = self.shared.work.take() {
            todo.prune = Instant::now() >= prune_at;
            match self.run_todo(&mut todo) {
                Ok(()) if todo.prune => prune_at = Instant::now() + Duration::from_millis(PRUNE_MS),
                Ok(()) => {}
                Err(error) => {
                    tracing::debug!(%error, "background work is waiting for the store");
                    self.shared.work.put_back(todo);
                    self.shared.work.pause();
                }
            }
        }
    }

    fn run_todo(&self, todo: &mut Todo) -> Result<(), Error> {
        if todo.removals {
            self.remove_told()?;
        }
        if todo.rescan {
            todo.products.extend(indexing::large_products(&self.shared)?);
        }
        let reindexed = !todo.products.is_empty();
        while let Some(product) = todo.products.pop_first() {
            if let Err(error) = self.index(&product) {
                todo.products.insert(product);
                return Err(error);
            }
        }
        if reindexed || todo.prune {
            while !self.shared.work.is_stopping() && self.writer.write_blocking(indexing::delete_step)? {}
        }
        if todo.prune {
            self.prune()?;
        }
        Ok(())
    }

    /// Builds the active policy's index of a product, unless it exists or the policy is not
    /// loaded.
    fn index(&self, product: &ProductId) -> Result<(), Error> {
        let Some(active) = self.shared.store.read(|store| store.active_policy())? else { return Ok(()) };
        let loaded = self.shared.plugins().bucketing();
        if loaded.is_none_or(|policy| policy.identity().fingerprint != active.fingerprint) {
            return Ok(());
        }
        let mut next = Some(Step::Begin);
        while let Some(step) = next.filter(|_| !self.shared.work.is_stopping()) {
            let (shared, product, mapping) = (self.shared.clone(), product.clone(), active.mapping);
            let built = self
                .writer
                .write_blocking(move |txn| indexing::build_step(txn, &shared, &product, mapping, step))?;
            next = built.next;
        }
        Ok(())
    }

    /// Deletes rows that are old enough.
    fn prune(&self) -> Result<(), Error> {
        let now = self.shared.watch_clock.now();
        let options = &self.shared.options;
        let older_than = WallTime(now.0.saturating_sub(options.outbox_retention_ms));
        while !self.shared.work.is_stopping()
            && self.writer.write_blocking(move |txn| outbox::prune_step(txn, older_than))?
        {}
        while !self.shared.work.is_stopping() && self.writer.write_blocking(archive::prune_step)? {}
        let kept_ms = options.confirmation_ms;
        while !self.shared.work.is_stopping()
            && self.writer.write_blocking(move |txn| leases::forget_step(txn, now, kept_ms))?
        {}
        Ok(())
    }

    /// Removes notified `once` watches, step by step.
    fn remove_told(&self) -> Result<(), Error> {
        let mut from = Some(Vec::new());
        while let Some(start) = from {
            let shared = self.shared.clone();
            from = self.writer.write_blocking(move |txn| removal_step(txn, &shared, &start))?;
        }
        Ok(())
    }
}

/// Carries out the next removals from a key on. Returns the key to continue from if there may be
/// more.
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
