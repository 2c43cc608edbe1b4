//! Checks a store that no engine has open, and saves what can be read from a damaged one.
//!
//! ```text
//! damaged store ─▶ 1. a copy: tables whose list is valid, valid batches of the journals
//!                  2. its readable rows ─▶ a new store; rows that follow from others are computed
//!                  3. store ─▶ store.damaged, the new store ─▶ store
//! ```

use std::fs;
use std::io::{self, Write as _};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};

use fjall::Slice;

use super::damage::{self, Checked, Finding, mark};
use super::derived::{Derived, Row as DerivedRow};
use super::error::Error;
use super::folder_lock::lock_folder;
use super::limits::GROUP_ROWS;
use super::options::Sizes;
use super::store::{OpenError, Store};
use super::tables::{COMMIT, KEYSPACES, TABLES, Table};

/// The state of a store's files.
#[derive(Debug)]
pub struct Report {
    /// The damage, in the order of the files.
    pub findings: Vec<Finding>,
    /// The valid commits in the journals. Older ones are in the tables.
    pub commits: usize,
}

/// What was saved.
#[derive(Debug)]
pub struct Salvaged {
    /// The damage that was found.
    pub findings: Vec<Finding>,
    /// The rows of each table of the new store.
    pub rows: Vec<(&'static str, u64)>,
    /// The tables with missing rows.
    pub incomplete: Vec<&'static str>,
    /// Where the damaged store is now.
    pub damaged: PathBuf,
}

/// Reads all files of the store in a data folder. Nothing is changed, and an engine may be running.
///
/// # Errors
/// There is no store, or a file cannot be read.
pub fn check(folder: &Path) -> Result<Report, Error> {
    let Checked { mut findings, journals } = read(folder)?;
    if let Err(error) = mark::read(folder) {
        findings.push(Finding::new(mark::NAME, None, error.to_string()));
    }
    let commits = journals.iter().map(|(_, scan)| scan.batches.len()).sum();
    Ok(Report { findings, commits })
}

fn read(folder: &Path) -> Result<Checked, Error> {
    let is_there = |name| folder.join(name).try_exists().unwrap_or(true);
    if !is_there("store") && !is_there(mark::NAME) {
        return Err(unusable(folder, io::Error::new(io::ErrorKind::NotFound, "there is no store in it")));
    }
    damage::check(&folder.join("store"), KEYSPACES, true).map_err(|source| unusable(folder, source))
}

fn unusable(folder: &Path, source: io::Error) -> Error {
    Error::Folder { folder: folder.into(), source }
}

/// Saves what can be read from the store in a data folder into a new store. The old one stays beside
/// it, as `store.damaged`.
///
/// # Errors
/// An engine is running, the disk is full, or nothing can be read. The store was not changed.
pub fn salvage(folder: &Path) -> Result<Salvaged, Error> {
    let _lock = lock_folder(folder)?;
    let checked = read(folder)?;
    let failed = |reason: OpenError| Error::Store { folder: folder.into(), reason: reason.into() };
    let copy = folder.join("store.copy");
    let opened = copy_readable(&folder.join("store"), &copy, &checked).map_err(failed)?;
    let new = folder.join("store.new");
    let (rows, mut incomplete) = copy_rows(&opened, &new).map_err(failed)?;
    drop(opened);
    for (id, (_, name)) in (1..).zip(TABLES) {
        if is_list_damaged(&checked, id) && !incomplete.contains(&name) {
            incomplete.push(name);
        }
    }
    let damaged = replace(folder, &new, &copy).map_err(|source| unusable(folder, source))?;
    Ok(Salvaged { findings: checked.findings, rows, incomplete, damaged })
}

/// Puts the new store in the place of the old one.
fn replace(folder: &Path, new: &Path, copy: &Path) -> io::Result<PathBuf> {
    let (home, damaged) = (folder.join("store"), unused(&folder.join("store.damaged"))?);
    fs::rename(&home, &damaged)?;
    fs::rename(new, &home)?;
    // Last: without the mark, a crash before this would let the damaged store start.
    remove_if_there(&folder.join(mark::NAME))?;
    fs::File::open(folder)?.sync_all()?;
    fs::remove_dir_all(copy)?;
    Ok(damaged)
}

/// Returns a path that does not exist: this one, or with a number.
fn unused(path: &Path) -> io::Result<PathBuf> {
    let mut numbered = path.to_path_buf();
    for number in 2.. {
        if !numbered.try_exists()? {
            break;
        }
        numbered.set_extension(format!("damaged-{number}"));
    }
    Ok(numbered)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether the list of the tables of a keyspace is damaged, so that none of them can be read.
fn is_list_damaged(checked: &Checked, id: u64) -> bool {
    let folder = Path::new("store/keyspaces").join(id.to_string());
    let of_list = |finding: &Finding| finding.file.parent() == Some(&folder);
    checked.findings.iter().any(of_list)
}

/// Creates a database from the tables whose list is valid and the valid batches of the journals. A
/// keyspace that the database does not open is left out, except for its rows in the journals.
fn copy_readable(home: &Path, copy: &Path, checked: &Checked) -> Result<Store, OpenError> {
    let readable = (1..=TABLES.len() as u64).filter(|id| !is_list_damaged(checked, *id));
    let mut kept: Vec<u64> = readable.collect();
    let of_table = |id: &u64, finding: &Finding| {
        finding.file.starts_with(Path::new("store/keyspaces").join(id.to_string()))
    };
    let (suspect, sound): (Vec<u64>, Vec<u64>) =
        kept.iter().partition(|id| checked.findings.iter().any(|finding| of_table(id, finding)));
    if !suspect.is_empty() {
        let opens = |id: &u64| try_copy(home, copy, &[*id], &[]).is_ok();
        kept = sound.into_iter().chain(suspect.into_iter().filter(opens)).collect();
    }
    let journals: Vec<_> = checked.journals.iter().collect();
    try_copy(home, copy, &kept, &journals)
}

fn try_copy(
    home: &Path,
    copy: &Path,
    keyspaces: &[u64],
    journals: &[&(PathBuf, damage::Scan)],
) -> Result<Store, OpenError> {
    drop(Store::open_empty(copy, Sizes::default())?);
    for id in keyspaces {
        let place = Path::new("keyspaces").join(id.to_string());
        fs::remove_dir_all(copy.join(&place))?;
        copy_folder(&home.join(&place), &copy.join(&place))?;
    }
    if !journals.is_empty() {
        for journal in damage::journals(copy)? {
            fs::remove_file(journal)?;
        }
    }
    for (path, scan) in journals {
        let bytes = fs::read(path)?;
        let mut file = fs::File::create(copy.join(path.file_name().unwrap_or_default()))?;
        for batch in &scan.batches {
            file.write_all(&bytes[batch.bytes.clone()])?;
        }
    }
    // The database may panic on damaged files.
    std::panic::catch_unwind(AssertUnwindSafe(|| Store::open_at(copy, Sizes::default())))
        .unwrap_or_else(|_| Err(io::Error::other("the database cannot read its files").into()))
        .map_err(OpenError::from)
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy_folder(&entry.path(), &target)?,
            false => fs::copy(entry.path(), target).map(drop)?,
        }
    }
    Ok(())
}

/// How many rows each table has.
type Rows = Vec<(&'static str, u64)>;

/// Copies the readable rows into a new database. Returns how many rows each table has, and the tables
/// with missing rows.
fn copy_rows(old: &Store, new: &Path) -> Result<(Rows, Vec<&'static str>), OpenError> {
    let new = Store::open_empty(new, Sizes::default())?;
    let mut copy = Copy { new: &new, waiting: Vec::new(), derived: Derived::default() };
    let (mut rows, mut incomplete) = (Vec::new(), Vec::new());
    for (table, name) in TABLES.into_iter().filter(|(table, _)| !Derived::TABLES.contains(table)) {
        let (count, whole) = copy.table(old, table)?;
        rows.push((name, count));
        if !whole {
            incomplete.push(name);
        }
    }
    copy.flush()?;
    for row in std::mem::take(&mut copy.derived).finish(&new)? {
        copy.push(row)?;
    }
    copy.flush()?;
    Ok((rows, incomplete))
}

/// Writes rows to a new database.
struct Copy<'a> {
    new: &'a Store,
    waiting: Vec<DerivedRow>,
    derived: Derived,
}

impl Copy<'_> {
    /// Copies the rows before the first unreadable one and, from the end, those after the last
    /// unreadable one. Returns how many, and whether these are all.
    fn table(&mut self, old: &Store, table: Table) -> fjall::Result<(u64, bool)> {
        let (mut count, mut last) = (0, None);
        let mut rows = old.table(table).iter();
        let damaged = loop {
            match rows.next().map(fjall::Guard::into_inner) {
                None => break false,
                Some(Err(_)) => break true,
                Some(Ok((key, value))) => {
                    self.row(table, &key, &value)?;
                    (count, last) = (count + 1, Some(key));
                }
            }
        };
        if damaged {
            for guard in old.table(table).iter().rev() {
                let Ok((key, value)) = guard.into_inner() else { break };
                if last.as_ref().is_some_and(|last| key <= *last) {
                    break;
                }
                self.row(table, &key, &value)?;
                count += 1;
            }
        }
        Ok((count, !damaged))
    }

    fn row(&mut self, table: Table, key: &Slice, value: &Slice) -> fjall::Result<()> {
        if table == Table::Meta && key[..] == *COMMIT {
            return Ok(());
        }
        if let Some(row) = self.derived.add(table, key, value) {
            self.push(row)?;
        }
        self.push((table, key.clone(), Some(value.clone())))
    }

    fn push(&mut self, row: DerivedRow) -> fjall::Result<()> {
        self.waiting.push(row);
        if self.waiting.len() >= GROUP_ROWS { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> fjall::Result<()> {
        self.new.wait_for_room(None)?;
        self.new.commit(std::mem::take(&mut self.waiting))
    }
}
