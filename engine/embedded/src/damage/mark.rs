//! The mark: a file outside of the database with the number of the last synced commit. If the
//! database comes back with an older commit, acknowledged commits were lost.
//!
//! ```text
//! store.mark: number of keyspaces, slot 0, slot 1    each: u64, xxh3 of the place and the u64
//! ```
//!
//! A commit writes the slot that the last one did not write, so a torn write leaves the other one.
//! The file is not synced after each commit. After a power failure it may be older than the database,
//! never newer.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The name of the file in the data folder.
pub const NAME: &str = "store.mark";
/// Bytes of a number with its checksum.
const SLOT: usize = 16;
const SLOTS: usize = 3;

/// The content of a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marked {
    /// How many keyspaces the database had when it was opened last.
    pub keyspaces: u64,
    /// The number of the last synced commit.
    pub commit: u64,
}

/// Reads the mark of a data folder; none if there is no file.
///
/// # Errors
/// The file cannot be read, or is damaged (`InvalidData`).
pub fn read(folder: &Path) -> io::Result<Option<Marked>> {
    let bytes = match fs::read(folder.join(NAME)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    parse(&bytes).map(Some).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the mark is damaged"))
}

fn parse(bytes: &[u8]) -> Option<Marked> {
    let numbers: Vec<Option<u64>> =
        bytes.chunks(SLOT).enumerate().map(|(at, slot)| decode(at, slot)).collect();
    match numbers[..] {
        [Some(keyspaces), a, b] => Some(Marked { keyspaces, commit: a.max(b)? }),
        _ => None,
    }
}

fn encode(at: usize, number: u64) -> [u8; SLOT] {
    let mut slot = [0; SLOT];
    slot[..8].copy_from_slice(&number.to_le_bytes());
    slot[8..].copy_from_slice(&xxh3_64_with_seed(&number.to_le_bytes(), at as u64).to_le_bytes());
    slot
}

fn decode(at: usize, slot: &[u8]) -> Option<u64> {
    let number = u64::from_le_bytes(*slot.first_chunk()?);
    (encode(at, number) == slot).then_some(number)
}

/// The mark of an open store.
pub struct Mark {
    path: PathBuf,
    file: File,
    inode: u64,
    slot: usize,
}

impl Mark {
    /// Writes the mark anew and syncs it.
    pub fn write(folder: &Path, marked: Marked) -> io::Result<Mark> {
        let (path, new) = (folder.join(NAME), folder.join("store.mark.new"));
        let slots = [marked.keyspaces, marked.commit, marked.commit];
        let bytes: Vec<u8> = slots.iter().enumerate().flat_map(|(at, number)| encode(at, *number)).collect();
        let mut file = File::create(&new)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        File::open(folder)?.sync_all()?;
        let inode = file.metadata()?.ino();
        Ok(Mark { path, file, inode, slot: 1 })
    }

    /// Stores the number of a synced commit.
    pub fn advance(&mut self, commit: u64) -> io::Result<()> {
        self.slot = SLOTS - self.slot;
        self.file.write_all_at(&encode(self.slot, commit), (self.slot * SLOT) as u64)
    }

    /// Returns whether the file is still in its folder.
    pub fn is_in_place(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|found| found.ino() == self.inode)
    }
}
