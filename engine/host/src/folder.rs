//! The plugin folder as it lies there: which pairs, and whether they changed.
//! Nothing is decided here; links are followed, dot files passed over.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::error::Refusal;
use crate::limits::{FOLDER_ENTRIES, SIDECAR_BYTES};
use crate::load::Pair;

/// What tells one content of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Mark {
    pub(crate) fn of(path: &Path) -> io::Result<Mark> {
        let metadata = fs::metadata(path)?;
        Ok(Mark {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    /// Which file or folder it is, whatever is in it.
    pub(crate) fn identity(&self) -> (u64, u64) {
        (self.device, self.inode)
    }
}

/// The plugin files of a folder with their marks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    files: BTreeMap<String, Mark>,
    /// There is no such folder, or it cannot be read, for this reason.
    pub(crate) missing: Option<String>,
    /// There is more in it than is looked at.
    pub(crate) crowded: bool,
}

impl Listing {
    pub(crate) fn of(folder: &Path) -> Listing {
        match Listing::read(folder) {
            Ok(listing) => listing,
            Err(error) => Listing { missing: Some(error.to_string()), ..Listing::default() },
        }
    }

    fn read(folder: &Path) -> io::Result<Listing> {
        let mut listing = Listing::default();
        for (at, entry) in fs::read_dir(folder)?.enumerate() {
            if at == FOLDER_ENTRIES {
                listing.crowded = true;
                break;
            }
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') || !(name.ends_with(".wasm") || name.ends_with(".toml")) {
                continue;
            }
            let path = folder.join(&name);
            // A file that vanished, or a link to nowhere, is not there.
            if let (true, Ok(mark)) = (path.is_file(), Mark::of(&path)) {
                listing.files.insert(name, mark);
            }
        }
        Ok(listing)
    }

    /// The stems that have a `.wasm` file.
    pub(crate) fn stems(&self) -> impl Iterator<Item = &str> {
        self.files.keys().filter_map(|name| name.strip_suffix(".wasm"))
    }

    /// The sidecars that have none.
    pub(crate) fn orphans(&self) -> Vec<String> {
        let stems: BTreeSet<&str> = self.stems().collect();
        let sidecars = self.files.keys().filter(|name| name.ends_with(".toml"));
        sidecars.filter(|name| !stems.contains(name.trim_end_matches(".toml"))).cloned().collect()
    }

    fn marks(&self, stem: &str) -> [Option<Mark>; 2] {
        ["wasm", "toml"].map(|extension| self.files.get(&format!("{stem}.{extension}")).copied())
    }
}

/// A pair that could not be read.
pub(crate) enum Unread {
    /// It changed meanwhile; try again when it has settled.
    Changing,
    /// It cannot be used as it is.
    Refused(Refusal),
}

/// Reads a pair that is the same before and after.
pub(crate) fn read_pair(folder: &Path, listing: &Listing, stem: &str, most: u64) -> Result<Pair, Unread> {
    let paths = ["wasm", "toml"].map(|extension| folder.join(format!("{stem}.{extension}")));
    let [wasm_mark, sidecar_mark] = listing.marks(stem);
    let wasm = read_file(&paths[0], most)?;
    let sidecar = match sidecar_mark {
        Some(_) => Some(read_file(&paths[1], SIDECAR_BYTES)?),
        None => None,
    };
    if [Mark::of(&paths[0]).ok(), Mark::of(&paths[1]).ok()] != [wasm_mark, sidecar_mark] {
        return Err(Unread::Changing);
    }
    let not_text = |_| Unread::Refused(Refusal::of_file(format!("{stem}.toml"), "not UTF-8 text", ""));
    let sidecar = sidecar.map(String::from_utf8).transpose().map_err(not_text)?;
    Ok(Pair { stem: stem.to_owned(), wasm, sidecar })
}

fn read_file(path: &Path, most: u64) -> Result<Vec<u8>, Unread> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let refuse = |reason: String| Unread::Refused(Refusal::of_file(name.clone(), reason, ""));
    let file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Unread::Changing,
        _ => refuse(error.to_string()),
    })?;
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(|error| refuse(error.to_string()))?;
    match bytes.len() as u64 > most {
        true => Err(refuse(format!("longer than {most} bytes"))),
        false => Ok(bytes),
    }
}
