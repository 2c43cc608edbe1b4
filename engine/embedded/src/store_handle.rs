//! Holds the open store, or the reason why there is none. All adapters reach the store through
//! here, so that a failed store is replaced for all of them at once.
//!
//! Invariant: no handle of the database is kept outside of a call, because it would keep the
//! store locked.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use pricedrop_model::{Cause, ports};

use super::damage;
use super::error::{Broken, listed};
use super::options::Sizes;
use super::store::{GONE, OpenError, Store, cause, is_damage};
use super::tables::KEYSPACES;

/// The open store, or why there is none.
pub(super) struct StoreHandle {
    folder: PathBuf,
    sizes: Sizes,
    state: RwLock<State>,
    damage: Arc<Damage>,
}

/// The damaged files of an open store. They are searched once, when a read finds the first of them,
/// because the database does not name the file.
#[derive(Default)]
struct Damage {
    is_searched: AtomicBool,
    found: OnceLock<String>,
}

struct State {
    /// Whether its files were deleted or replaced while it was open. Then it must not be opened again.
    is_gone: bool,
    /// How often the store was opened again; marks snapshots of an earlier opening.
    generation: u64,
    store: Result<Store, Cause>,
}

/// Why a read failed.
#[derive(Debug)]
pub(super) enum ReadError {
    Database(fjall::Error),
    Broken(Broken),
}

impl From<fjall::Error> for ReadError {
    fn from(error: fjall::Error) -> ReadError {
        ReadError::Database(error)
    }
}

impl From<Broken> for ReadError {
    fn from(error: Broken) -> ReadError {
        ReadError::Broken(error)
    }
}

impl From<ReadError> for ports::Error {
    fn from(error: ReadError) -> ports::Error {
        match error {
            ReadError::Database(error) => ports::Error::Unavailable(cause(error)),
            ReadError::Broken(error) => error.into(),
        }
    }
}

impl StoreHandle {
    /// Opens the store.
    pub(super) fn open(folder: PathBuf, sizes: Sizes) -> Result<StoreHandle, OpenError> {
        let store = Store::open(&folder, sizes)?;
        let state = RwLock::new(State { is_gone: false, generation: 0, store: Ok(store) });
        Ok(StoreHandle { folder, sizes, state, damage: Arc::default() })
    }

    /// Runs a read on the open store.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&Store) -> Result<T, ReadError>,
    ) -> Result<T, ports::Error> {
        self.read_generation(|store, _| read(store))
    }

    /// Runs a read that also receives the number of the opening.
    pub(super) fn read_generation<T>(
        &self,
        read: impl FnOnce(&Store, u64) -> Result<T, ReadError>,
    ) -> Result<T, ports::Error> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        match &state.store {
            Ok(store) => read(store, state.generation).map_err(|error| self.explain(error)),
            Err(reason) => Err(ports::Error::Unavailable(reason.clone())),
        }
    }

    /// Converts an error of a read. If a file is damaged, it starts the search for it.
    pub(super) fn explain<E: From<ReadError>>(&self, error: ReadError) -> E {
        if matches!(&error, ReadError::Database(error) if is_damage(error)) {
            self.search_damage();
        }
        error.into()
    }

    /// Reads all files on a thread of its own, and logs those that are damaged.
    fn search_damage(&self) {
        if self.damage.is_searched.swap(true, Relaxed) {
            return;
        }
        let (folder, damage) = (self.folder.clone(), self.damage.clone());
        let search = move || {
            let findings = match damage::check(&folder.join("store"), KEYSPACES, true) {
                Ok(checked) => listed(&checked.findings),
                Err(error) => error.to_string(),
            };
            tracing::error!(
                %findings,
                "files of the store are damaged; stop the engine and save the rest with `pricedrop store salvage`"
            );
            let _ = damage.found.set(findings);
        };
        if let Err(error) = std::thread::Builder::new().name("embedded-damage".into()).spawn(search) {
            tracing::error!(%error, "the damaged files cannot be searched");
        }
    }

    /// Returns the damaged files that a read has met, or `None`.
    pub(super) fn damaged(&self) -> Option<&str> {
        self.damage.found.get().map(String::as_str)
    }

    /// Returns why the store is closed, or `None` if it is open.
    pub(super) fn down(&self) -> Option<Cause> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).store.as_ref().err().cloned()
    }

    /// Returns why the database failed. A failure of its background work has no cause here, so a
    /// file is written beside the store, which usually fails for the same reason.
    pub(super) fn reason_of(&self, error: fjall::Error) -> Cause {
        match (error, super::reopen::probe(&self.folder)) {
            (fjall::Error::Poisoned, Err(error)) => Cause::of(error),
            (error, _) => cause(error),
        }
    }

    /// Closes the store, with the reason that callers get.
    pub(super) fn close(&self, reason: Cause) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.is_gone |= state.store.as_ref().is_ok_and(|store| !store.is_in_place());
        state.store = Err(reason);
    }

    /// Opens a closed store again, or returns why it does not open.
    pub(super) fn reopen(&self) -> Result<(), Cause> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        if state.is_gone {
            return Err(GONE.into());
        }
        drop(state);
        // A database damaged by a full disk may panic while it opens. That is a failure like
        // others, and the next attempt reads the disk again.
        let opened = std::panic::catch_unwind(|| {
            super::reopen::probe(&self.folder).map_err(Cause::of)?;
            Store::open(&self.folder, self.sizes).map_err(Cause::from)
        });
        let opened = opened.unwrap_or_else(|_| Err("the database could not be opened".into()));
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.generation += u64::from(opened.is_ok());
        state.store = opened;
        state.store.as_ref().map(|_| ()).map_err(Clone::clone)
    }
}
