//! Reads the journals of the database (fjall 3): batches, each from a start frame to an end frame
//! with a checksum of the rows between them.
//!
//! ```text
//! start: 1, count u32, number u64     row: 2, kind u8, compression u8, keyspace u64, key length u16,
//! clear: 4, keyspace u64                   length u32, stored length u32, key, stored value
//! end:   3, checksum u64, "FJL\x03"   (little-endian; zeros follow the last batch)
//! ```

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use super::finding::Finding;
use crate::tables::{COMMIT, META_KEYSPACE};

const START: u8 = 1;
const ROW: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const TRAILER: &[u8] = b"FJL\x03";
/// How far the number of a batch may be from the number that its commit row holds. Only the creation of
/// keyspaces takes numbers between them.
const NUMBERS_BETWEEN: u64 = 1_000;

/// A valid batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Its bytes in the file.
    pub bytes: Range<usize>,
    /// Its number, which increases from batch to batch.
    pub number: u64,
}

/// What one journal contains.
#[derive(Debug, Default)]
pub struct Scan {
    /// The valid batches, in order.
    pub batches: Vec<Batch>,
    /// Invalid bytes before a valid batch.
    pub gaps: Vec<Range<usize>>,
    /// Where the invalid bytes at the end begin, if there are any.
    pub torn: Option<usize>,
}

impl Scan {
    /// Returns the damage. Invalid bytes at the end of the newest journal are no damage by themselves.
    pub(super) fn findings(&self, file: &Path, newest: bool) -> Vec<Finding> {
        let gap = |gap: &Range<usize>| {
            let after = self.batches.iter().filter(|batch| batch.bytes.start >= gap.end).count();
            let what = format!("{} bytes are invalid; {after} valid commits follow", gap.len());
            Finding::new(file, Some(gap.start as u64), what)
        };
        let mut findings: Vec<Finding> = self.gaps.iter().map(gap).collect();
        if let Some(at) = self.torn.filter(|_| !newest) {
            let what = "the rest of the file is invalid, and newer journals follow";
            findings.push(Finding::new(file, Some(at as u64), what));
        }
        findings
    }
}

/// Returns the journals of a store, the oldest first.
pub fn files(home: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(home)? {
        let path = entry?.path();
        let number =
            path.file_name().and_then(|name| name.to_str()?.strip_suffix(".jnl")?.parse::<u64>().ok());
        found.extend(number.map(|number| (number, path)));
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// Reads a journal. `last` is the number of the last batch before it, and is updated.
pub fn scan(path: &Path, last: &mut Option<u64>) -> io::Result<Scan> {
    let bytes = fs::read(path)?;
    let mut scan = Scan::default();
    let mut at = 0;
    while at < bytes.len() {
        let Some(batch) = next_batch(&bytes, at, *last) else {
            scan.torn = bytes[at..].iter().any(|byte| *byte != 0).then_some(at);
            break;
        };
        if batch.bytes.start > at {
            scan.gaps.push(at..batch.bytes.start);
        }
        *last = Some(batch.number);
        at = batch.bytes.end;
        scan.batches.push(batch);
    }
    Ok(scan)
}

/// Returns the first valid batch at or after this position.
fn next_batch(bytes: &[u8], from: usize, last: Option<u64>) -> Option<Batch> {
    let starts = bytes[from..].iter().enumerate().filter(|(_, byte)| **byte == START);
    let mut batches = starts.filter_map(|(behind, _)| batch_at(bytes, from + behind));
    batches.find(|batch| last.is_none_or(|last| batch.number > last))
}

/// Reads the batch at this position; none if the bytes are not a valid batch.
fn batch_at(bytes: &[u8], start: usize) -> Option<Batch> {
    let mut reader = Reader { bytes, at: start + 1 };
    let (count, number) = (reader.u32()?, reader.u64()?);
    let rows = reader.at;
    let mut commit = None;
    for _ in 0..count {
        commit = reader.row()?.or(commit);
    }
    let rows = &bytes[rows..reader.at];
    let ends =
        reader.u8()? == END && reader.u64()? == xxh3_64(rows) && reader.take(TRAILER.len())? == TRAILER;
    let plausible = commit.is_none_or(|commit| number >= commit && number - commit < NUMBERS_BETWEEN);
    (ends && count > 0 && plausible).then_some(Batch { bytes: start..reader.at, number })
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        Some(u8::from_le_bytes(self.array()?))
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.array()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.array()?))
    }

    /// Reads a changed row. Returns the value of a commit row, `Some(None)` for other rows, and `None`
    /// for anything else.
    fn row(&mut self) -> Option<Option<u64>> {
        match self.u8()? {
            CLEAR => self.u64().map(|_| None),
            ROW => {
                let _kind_and_compression = self.u16()?;
                let keyspace = self.u64()?;
                let (key, _, stored) = (self.u16()?, self.u32()?, self.u32()?);
                let (key, value) = (self.take(key.into())?, self.take(stored as usize)?);
                let is_commit = keyspace == META_KEYSPACE && key == COMMIT;
                Some(value.try_into().ok().filter(|_| is_commit).map(u64::from_be_bytes))
            }
            _ => None,
        }
    }
}
