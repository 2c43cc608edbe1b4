//! The database on disk: one fjall database, with one keyspace for each kind of row. What a row
//! means is decided elsewhere.
//!
//! Every commit writes its number into the row [`COMMIT`], and into the mark outside of the database
//! once it is synced (`damage`).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Slice, Snapshot};
use pricedrop_model::Cause;
use pricedrop_model::sync::lock;

use super::damage::mark::{self, Mark, Marked};
use super::damage::{self, Finding};
use super::options::Sizes;
use super::tables::{COMMIT, KEYSPACES, TABLES, Table};
use super::{error, limits};

/// Why a database cannot be opened.
#[derive(Debug)]
pub(super) enum OpenError {
    Database(fjall::Error),
    Damaged(Vec<Finding>),
    Io(io::Error),
}

impl From<fjall::Error> for OpenError {
    fn from(error: fjall::Error) -> OpenError {
        OpenError::Database(error)
    }
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> OpenError {
        OpenError::Io(error)
    }
}

impl From<OpenError> for Cause {
    fn from(error: OpenError) -> Cause {
        match error {
            OpenError::Database(error) => cause(error),
            OpenError::Damaged(findings) => error::listed(&findings).into(),
            OpenError::Io(error) => Cause::of(error),
        }
    }
}

/// An open database.
pub(super) struct Store {
    db: Database,
    keyspaces: Vec<Keyspace>,
    home: PathBuf,
    /// None for a store that is only read or being created.
    mark: Option<Mutex<Mark>>,
}

impl Store {
    /// Opens the database in this folder, and creates it if there never was one. A new one is
    /// created under another name and then renamed, so that a crash never leaves an incomplete one.
    pub(super) fn open(folder: &Path, sizes: Sizes) -> Result<Store, OpenError> {
        let home = folder.join("store");
        let marked = read_mark(folder)?;
        if !home.try_exists()? {
            if marked.is_some() {
                return Err(missing());
            }
            create(folder, &home, sizes)?;
        }
        check(&home, marked, false)?;
        let mut store = match Store::open_at(&home, sizes) {
            Ok(store) => store,
            Err(error) => {
                // The database does not name the file.
                check(&home, marked, true)?;
                return Err(error.into());
            }
        };
        let commit = store.last_commit()?;
        if let Some(lost) = marked.filter(|marked| marked.commit > commit) {
            return Err(OpenError::Damaged(vec![lost_commits(commit, lost.commit)]));
        }
        let mark = Mark::write(folder, Marked { keyspaces: KEYSPACES, commit })?;
        store.mark = Some(Mutex::new(mark));
        Ok(store)
    }

    /// Creates an empty database in this folder, and deletes what is there.
    pub(super) fn open_empty(path: &Path, sizes: Sizes) -> fjall::Result<Store> {
        if path.try_exists()? {
            fs::remove_dir_all(path)?;
        }
        Store::open_at(path, sizes)
    }

    /// Opens the database in this folder without checking it.
    pub(super) fn open_at(path: &Path, sizes: Sizes) -> fjall::Result<Store> {
        let db = Database::builder(path)
            .cache_size(sizes.cache_bytes)
            .max_cached_files(Some(sizes.table_files))
            .max_journaling_size(limits::JOURNAL_BYTES)
            .worker_threads(limits::WORKER_THREADS)
            .open()?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(limits::MEMTABLE_BYTES);
        let keyspaces =
            TABLES.iter().map(|(_, name)| db.keyspace(name, options)).collect::<fjall::Result<_>>()?;
        Ok(Store { db, keyspaces, home: path.into(), mark: None })
    }

    /// Returns the number of the last commit; 0 if there is none.
    fn last_commit(&self) -> fjall::Result<u64> {
        let stored = self.get(Table::Meta, COMMIT)?;
        Ok(stored.and_then(|bytes| Some(u64::from_be_bytes(bytes[..].try_into().ok()?))).unwrap_or(0))
    }

    /// Commits changes as one batch and syncs it. `None` deletes a row.
    pub(super) fn commit(
        &self,
        changes: impl IntoIterator<Item = (Table, Slice, Option<Slice>)>,
    ) -> fjall::Result<()> {
        let mut batch = self.db.batch().durability(Some(PersistMode::SyncAll));
        // Only one thread commits, so this is the number that the database gives to the batch.
        let commit = self.db.seqno();
        batch.insert(self.table(Table::Meta), COMMIT, commit.to_be_bytes());
        for (table, key, value) in changes {
            match value {
                Some(value) => batch.insert(self.table(table), key, value),
                None => batch.remove(self.table(table), key),
            }
        }
        batch.commit()?;
        self.advance_mark(commit)
    }

    /// Stores the number of a synced commit outside of the database.
    fn advance_mark(&self, commit: u64) -> fjall::Result<()> {
        let Some(mark) = &self.mark else { return Ok(()) };
        let mut mark = lock(mark);
        if !mark.is_in_place() || !self.home.try_exists()? {
            return Err(io::Error::other(GONE).into());
        }
        Ok(mark.advance(commit)?)
    }

    /// Returns whether the files are still in the data folder.
    pub(super) fn is_in_place(&self) -> bool {
        self.mark.as_ref().is_none_or(|mark| lock(mark).is_in_place())
            && self.home.try_exists().unwrap_or(true)
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
        if !self.is_in_place() {
            return Err(io::Error::other(GONE).into());
        }
        self.db.persist(PersistMode::Buffer)
    }

    /// Waits until a write cannot block inside the database. Returns false if that lasts past `until`.
    pub(super) fn wait_for_room(&self, until: Option<Instant>) -> fjall::Result<bool> {
        while self.is_congested() {
            self.check()?;
            if until.is_some_and(|until| Instant::now() > until) {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(true)
    }

    /// Returns whether background work lags so far that a write would block inside the database.
    /// If that work failed, nothing would wake the write.
    fn is_congested(&self) -> bool {
        self.keyspaces
            .iter()
            .any(|keyspace| keyspace.sealed_memtable_count() > 1 || keyspace.l0_table_count() >= 16)
    }

    /// Returns the bytes on disk, journals included.
    pub(super) fn disk_bytes(&self) -> fjall::Result<u64> {
        self.db.disk_space()
    }
}

/// Why a store that worked can no longer be used.
pub(super) const GONE: &str = "the files of the store were deleted or replaced while the engine runs; what was written since \
                    is lost: restore the data folder and restart the engine";

/// Creates the database in the data folder.
fn create(folder: &Path, home: &Path, sizes: Sizes) -> fjall::Result<()> {
    let aside = folder.join("store.new");
    drop(Store::open_empty(&aside, sizes)?);
    fs::rename(&aside, home)?;
    Ok(fs::File::open(folder)?.sync_all()?)
}

fn read_mark(folder: &Path) -> Result<Option<Marked>, OpenError> {
    mark::read(folder).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => {
            let what = "the checksums of the mark are wrong; if `pricedrop store check` finds nothing else, delete \
                        this file";
            OpenError::Damaged(vec![Finding::new(mark::NAME, None, what)])
        }
        _ => OpenError::Io(error),
    })
}

/// Refuses a store with damaged files.
fn check(home: &Path, marked: Option<Marked>, contents: bool) -> Result<(), OpenError> {
    // A store of an earlier release has no mark.
    let keyspaces = marked.map_or(1, |marked| marked.keyspaces);
    let findings = damage::check(home, keyspaces, contents)?.findings;
    if findings.is_empty() { Ok(()) } else { Err(OpenError::Damaged(findings)) }
}

fn missing() -> OpenError {
    let what = "the folder is missing, and its mark is there; restore it, or delete store.mark to begin with an \
                empty store";
    OpenError::Damaged(vec![Finding::new("store", None, what)])
}

fn lost_commits(last: u64, synced: u64) -> Finding {
    let what = format!(
        "the journals end at commit {last}, but commit {synced} was acknowledged: what was written after {last} is \
         missing"
    );
    Finding::new("store", None, what)
}

/// Describes a damage without the checksums, which help nobody.
fn short(error: &fjall::Error) -> String {
    match error {
        fjall::Error::Storage(fjall::LsmError::ChecksumMismatch { .. }) => {
            "a block has another checksum".into()
        }
        other => other.to_string(),
    }
}

/// Whether the error says that a file is damaged.
pub(super) fn is_damage(error: &fjall::Error) -> bool {
    !matches!(error, fjall::Error::Storage(fjall::LsmError::Io(_)))
        && matches!(
            error,
            fjall::Error::Storage(_) | fjall::Error::Decompress(_) | fjall::Error::JournalRecovery(_)
        )
}

/// Returns why a database failed, in one line: the operating system's message if there is one.
pub(super) fn cause(error: fjall::Error) -> Cause {
    let text = match &error {
        damage if is_damage(damage) => format!(
            "a file of the store is damaged ({}): `pricedrop store check` names it; stop the engine and save the rest \
             with `pricedrop store salvage`",
            short(damage)
        ),
        fjall::Error::Poisoned => "the database stopped after a failed write".into(),
        fjall::Error::Io(error) => error.to_string(),
        fjall::Error::Storage(fjall::LsmError::Io(error)) => error.to_string(),
        other => other.to_string(),
    };
    Cause::quoting(text, error)
}
