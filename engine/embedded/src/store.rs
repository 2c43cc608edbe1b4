//! The database on disk: one fjall database, with one keyspace for each kind of row. What a row
//! means is decided elsewhere.

use std::fs;
use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Slice, Snapshot};
use pricedrop_model::Cause;

use super::limits;

/// A kind of rows. The names are on disk and must never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Table {
    /// Single values: offsets, cursors, times, counters.
    Meta,
    /// Watches by product, threshold, user: the source of truth.
    Watches,
    /// Counts and indexes of each product.
    Products,
    /// Watches by index, bucket, threshold, user.
    Index,
    /// Numbers of indexes that nothing names any more, whose rows are to be deleted.
    DeadIndexes,
    /// Mappings of policies by name and by fingerprint, and the active policy.
    Policies,
    /// Product states.
    States,
    /// Keys of the states that have something pending.
    Unfinished,
    /// `once` watches that were notified, to be deleted.
    Removals,
    /// Blocks of notifications, by the offset of their first notification.
    Outbox,
    /// Dead letters by offset.
    DeadLetters,
    /// Leases and confirmations.
    Leases,
    /// Leases and confirmations, by the time from which they may be deleted.
    Forgettable,
    /// Deliveries to be retried, by key.
    Retries,
    /// Keys of retries, by channel and due time.
    Due,
    /// Addresses of users.
    Recipients,
    /// Updates and dead letters that are not in the archive yet, by topic and offset.
    Unarchived,
}

pub(super) const TABLES: [(Table, &str); 17] = [
    (Table::Meta, "meta"),
    (Table::Watches, "watches"),
    (Table::Products, "products"),
    (Table::Index, "index"),
    (Table::DeadIndexes, "dead_indexes"),
    (Table::Policies, "policies"),
    (Table::States, "states"),
    (Table::Unfinished, "unfinished"),
    (Table::Removals, "removals"),
    (Table::Outbox, "outbox"),
    (Table::DeadLetters, "dead_letters"),
    (Table::Leases, "leases"),
    (Table::Forgettable, "forgettable"),
    (Table::Retries, "retries"),
    (Table::Due, "due"),
    (Table::Recipients, "recipients"),
    (Table::Unarchived, "unarchived"),
];

/// An open database.
pub(super) struct Store {
    pub(super) db: Database,
    keyspaces: Vec<Keyspace>,
}

impl Store {
    /// Opens the database in this folder, and creates it if there is none. A new one is created
    /// under another name and then renamed, so that a crash never leaves an incomplete one.
    pub(super) fn open(folder: &Path, cache_bytes: u64) -> fjall::Result<Store> {
        let home = folder.join("store");
        if !home.try_exists()? {
            let aside = folder.join("store.new");
            if aside.try_exists()? {
                fs::remove_dir_all(&aside)?;
            }
            drop(Store::open_at(&aside, cache_bytes)?);
            fs::rename(&aside, &home)?;
            fs::File::open(folder)?.sync_all()?;
        }
        Store::open_at(&home, cache_bytes)
    }

    fn open_at(path: &Path, cache_bytes: u64) -> fjall::Result<Store> {
        let db = Database::builder(path)
            .cache_size(cache_bytes)
            .max_journaling_size(limits::JOURNAL_BYTES)
            .worker_threads(limits::WORKER_THREADS)
            .open()?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(limits::MEMTABLE_BYTES);
        let keyspaces =
            TABLES.iter().map(|(_, name)| db.keyspace(name, options)).collect::<fjall::Result<_>>()?;
        Ok(Store { db, keyspaces })
    }

    /// Returns the keyspace of a kind of rows.
    pub(super) fn table(&self, table: Table) -> &Keyspace {
        &self.keyspaces[table as usize]
    }

    /// Reads the current value of one row.
    pub(super) fn get(&self, table: Table, key: &[u8]) -> fjall::Result<Option<Slice>> {
        self.table(table).get(key)
    }

    /// Returns a snapshot of all keyspaces. It contains each batch completely or not at all.
    pub(super) fn snapshot(&self) -> Snapshot {
        self.db.snapshot()
    }

    /// Returns the rows that start with `prefix`, in order, from one snapshot.
    pub(super) fn prefix(&self, table: Table, prefix: &[u8]) -> fjall::Iter {
        self.snapshot().prefix(self.table(table), prefix)
    }

    /// Fails if the database's background work has failed. Such a failure poisons the database,
    /// and every later write returns it.
    pub(super) fn check(&self) -> fjall::Result<()> {
        self.db.persist(PersistMode::Buffer)
    }

    /// Returns whether background work lags so far that a write would block inside the database.
    /// If that work failed, nothing would wake the write.
    pub(super) fn is_congested(&self) -> bool {
        self.keyspaces
            .iter()
            .any(|keyspace| keyspace.sealed_memtable_count() > 1 || keyspace.l0_table_count() >= 16)
    }

    /// Returns the bytes on disk, journals included.
    pub(super) fn disk_bytes(&self) -> fjall::Result<u64> {
        self.db.disk_space()
    }
}

/// Returns why a database failed, in one line: the operating system's message if there is one.
pub(super) fn cause(error: fjall::Error) -> Cause {
    let text = match &error {
        fjall::Error::Poisoned => "the database stopped after a failed write".into(),
        fjall::Error::Io(error) => error.to_string(),
        fjall::Error::Storage(fjall::LsmError::Io(error)) => error.to_string(),
        other => other.to_string(),
    };
    Cause::quoting(text, error)
}
