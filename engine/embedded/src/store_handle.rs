//! Where the open store stands. All adapters reach it through here, so that a
//! store that failed is replaced by a reopened one under all of them at once.
//! A handle of the old one anywhere would keep its lock: nobody keeps one.

use std::path::PathBuf;
use std::sync::{PoisonError, RwLock};

use pricedrop_model::{Cause, ports};

use super::error::Broken;
use super::store::{Store, cause};

/// The open store, or why there is none.
pub(super) struct StoreHandle {
    folder: PathBuf,
    cache_bytes: u64,
    state: RwLock<State>,
}

struct State {
    /// Counts openings, so that a snapshot of an older one is known as such.
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
    pub(super) fn open(folder: PathBuf, cache_bytes: u64) -> fjall::Result<StoreHandle> {
        let store = Store::open(&folder, cache_bytes)?;
        let state = RwLock::new(State { generation: 0, store: Ok(store) });
        Ok(StoreHandle { folder, cache_bytes, state })
    }

    /// Reads from the store.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&Store) -> Result<T, ReadError>,
    ) -> Result<T, ports::Error> {
        self.read_generation(|store, _| read(store))
    }

    /// Reads from the store, told which opening it is.
    pub(super) fn read_generation<T>(
        &self,
        read: impl FnOnce(&Store, u64) -> Result<T, ReadError>,
    ) -> Result<T, ports::Error> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        match &state.store {
            Ok(store) => Ok(read(store, state.generation)?),
            Err(reason) => Err(ports::Error::Unavailable(reason.clone())),
        }
    }

    /// Why there is no store, when there is none.
    pub(super) fn down(&self) -> Option<Cause> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).store.as_ref().err().cloned()
    }

    /// Why the database failed. One that failed in the background does not say;
    /// a write beside it mostly fails alike.
    pub(super) fn why(&self, error: fjall::Error) -> Cause {
        match (error, super::reopen::probe(&self.folder)) {
            (fjall::Error::Poisoned, Err(error)) => Cause::of(error),
            (error, _) => cause(error),
        }
    }

    /// Closes the store because of this.
    pub(super) fn close(&self, reason: Cause) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.store = Err(reason);
    }

    /// Opens a closed store again; why not, when it does not open.
    pub(super) fn reopen(&self) -> Result<(), Cause> {
        // A database torn by a full disk may panic while it opens; that is one
        // more way of not opening, and the next attempt starts from the disk.
        let opened = std::panic::catch_unwind(|| {
            super::reopen::probe(&self.folder).map_err(Cause::of)?;
            Store::open(&self.folder, self.cache_bytes).map_err(cause)
        });
        let opened = opened.unwrap_or_else(|_| Err("the database could not be opened".into()));
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.generation += u64::from(opened.is_ok());
        state.store = opened;
        state.store.as_ref().map(|_| ()).map_err(Clone::clone)
    }
}
