//! The database on disk: one fjall database, one keyspace per kind of row.
//! Nothing here knows what a row means.

use std::fs;
use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Slice, Snapshot};
use pricedrop_model::Cause;

use super::limits;

/// The kinds of rows. Names are on disk: never rename one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Table {
    /// Single values: offsets, cursors, the clock.
    Meta,
    /// Watches by product, threshold, user: the truth.
    Watches,
    /// What is known of a product's watches without reading them.
    Products,
    /// Watches by index, bucket, threshold, user.
    Index,
    /// Numbers of indexes nobody reads any more, to be deleted.
    DeadIndexes,
    /// Policies by name and by fingerprint, and which is active.
    Policies,
    /// Product states.
    States,
    /// Keys of states with something pending.
    Unfinished,
    /// Once-watches told, to be deleted.
    Removals,
    /// Blocks of notifications by the offset of their first.
    Outbox,
    /// Dead letters by offset.
    DeadLetters,
    /// Leases and confirmations.
    Leases,
    /// Confirmations by the time they may be forgotten.
    Forgettable,
    /// Retries by key.
    Retries,
    /// Keys of retries by channel and due time.
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
    /// Opens the database in this folder; makes it when there is none. It is
    /// made aside and renamed, so that a crash meanwhile leaves nothing half.
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

    /// The keyspace of a kind of rows.
    pub(super) fn table(&self, table: Table) -> &Keyspace {
        &self.keyspaces[table as usize]
    }

    /// One row as it is now.
    pub(super) fn get(&self, table: Table, key: &[u8]) -> fjall::Result<Option<Slice>> {
        self.table(table).get(key)
    }

    /// All of the store at one moment: no batch is seen by half.
    pub(super) fn snapshot(&self) -> Snapshot {
        self.db.snapshot()
    }

    /// Rows that start with `prefix`, in order, at one moment.
    pub(super) fn prefix(&self, table: Table, prefix: &[u8]) -> fjall::Iter {
        self.snapshot().prefix(self.table(table), prefix)
    }

    /// Whether its background work still runs: a failed one poisons the
    /// database, and every write answers so.
    pub(super) fn check(&self) -> fjall::Result<()> {
        self.db.persist(PersistMode::Buffer)
    }

    /// Whether background work is so far behind that a write would wait within
    /// the database, where nothing would wake it if that work failed.
    pub(super) fn is_congested(&self) -> bool {
        self.keyspaces
            .iter()
            .any(|keyspace| keyspace.sealed_memtable_count() > 1 || keyspace.l0_table_count() >= 16)
    }

    /// Bytes on disk, journal included.
    pub(super) fn disk_bytes(&self) -> fjall::Result<u64> {
        self.db.disk_space()
    }
}

/// Why a database failed, in one line: the system's own words where it has
/// them.
pub(super) fn cause(error: fjall::Error) -> Cause {
    let text = match &error {
        fjall::Error::Poisoned => "the database stopped after a failed write".into(),
        fjall::Error::Io(error) => error.to_string(),
        fjall::Error::Storage(fjall::LsmError::Io(error)) => error.to_string(),
        other => other.to_string(),
    };
    Cause::quoting(text, error)
}
