//! Lists the plugin folder, and reads the files of a plugin. Follows symbolic links, ignores dot
//! files. `host.rs` decides what is loaded.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::error::LoadError;
use crate::files::{PluginFiles, locale_and_part, template_folder};
use crate::limits::{FOLDER_ENTRIES, SIDECAR_BYTES, TEMPLATE_BYTES, TEMPLATES};

/// Metadata by which a change of a file is detected without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileStat {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileStat {
    pub(crate) fn of(path: &Path) -> io::Result<FileStat> {
        let metadata = fs::metadata(path)?;
        Ok(FileStat {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    /// The device and inode: they identify a file or folder, not its content.
    pub(crate) fn identity(&self) -> (u64, u64) {
        (self.device, self.inode)
    }
}

/// The plugin files of a folder, with their stats.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    files: BTreeMap<String, FileStat>,
    /// The files in the template folder of each stem.
    templates: BTreeMap<String, BTreeMap<String, FileStat>>,
    /// Why the folder cannot be read, for example because it does not exist. `None` if it was read.
    pub(crate) missing: Option<String>,
    /// The folder has more than [`FOLDER_ENTRIES`] files and folders of plugins; the rest was ignored.
    pub(crate) truncated: bool,
    /// Entries that have the name of a plugin's file and are no regular files.
    pub(crate) irregular: BTreeSet<String>,
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
        let is_of_a_plugin =
            |name: &str| [".wasm", ".toml", ".d"].iter().any(|ending| name.ends_with(ending));
        for name in names(folder, FOLDER_ENTRIES, is_of_a_plugin)? {
            let Some(name) = name else {
                listing.truncated = true;
                break;
            };
            let path = folder.join(&name);
            if let Some(stem) = name.strip_suffix(".d").filter(|_| path.is_dir()) {
                // A folder that was deleted meanwhile has no templates.
                let stats = template_stats(&path).unwrap_or_default();
                listing.templates.insert(stem.to_owned(), stats);
            }
            if name.ends_with(".d") {
                continue;
            }
            // Deleted files and dangling links are ignored.
            match (path.is_file(), FileStat::of(&path)) {
                (true, Ok(stat)) => drop(listing.files.insert(name, stat)),
                (false, Ok(_)) => drop(listing.irregular.insert(name)),
                (_, Err(_)) => {}
            }
        }
        Ok(listing)
    }

    /// The stems that have a `.wasm` file.
    pub(crate) fn stems(&self) -> impl Iterator<Item = &str> {
        self.files.keys().filter_map(|name| name.strip_suffix(".wasm"))
    }

    /// The sidecars and template folders without a `.wasm` file.
    pub(crate) fn orphans(&self) -> Vec<String> {
        let stems: BTreeSet<&str> = self.stems().collect();
        let sidecars = self.files.keys().filter(|name| name.ends_with(".toml"));
        let sidecars = sidecars.filter(|name| !stems.contains(name.trim_end_matches(".toml"))).cloned();
        let folders = self.templates.keys().filter(|stem| !stems.contains(stem.as_str()));
        sidecars.chain(folders.map(|stem| template_folder(stem))).collect()
    }

    /// The stems that have a folder of templates.
    pub(crate) fn template_stems(&self) -> impl Iterator<Item = &str> {
        self.templates.keys().map(String::as_str)
    }

    fn stats(&self, stem: &str) -> [Option<FileStat>; 2] {
        ["wasm", "toml"].map(|extension| self.files.get(&format!("{stem}.{extension}")).copied())
    }
}

/// Lists the names in a folder that count, without dot files. If there are more than `most`, the
/// last element is `None`.
fn names(folder: &Path, most: usize, counts: impl Fn(&str) -> bool) -> io::Result<Vec<Option<String>>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') || !counts(&name) {
            continue;
        }
        if names.len() == most {
            names.push(None);
            break;
        }
        names.push(Some(name.into_owned()));
    }
    Ok(names)
}

/// Lists the templates, at most one more than [`TEMPLATES`]; `read_templates` refuses that many.
fn template_stats(folder: &Path) -> io::Result<BTreeMap<String, FileStat>> {
    let mut stats = BTreeMap::new();
    for name in names(folder, TEMPLATES + 1, |_| true)?.into_iter().flatten() {
        let path = folder.join(&name);
        // Backup and lock files of editors are ignored.
        let is_left_over = name.ends_with('~') || name.starts_with('#');
        if let (false, true, Ok(stat)) = (is_left_over, path.is_file(), FileStat::of(&path)) {
            stats.insert(name, stat);
        }
    }
    Ok(stats)
}

/// Why files could not be read.
pub(crate) enum ReadError {
    /// They changed during the read: read them again once the folder is quiet.
    Changing,
    /// They are too long or not valid: a person must change them.
    Refused(LoadError),
}

/// Reads the files of a plugin, each at most `most` bytes or its own limit. Checks that the files
/// did not change between the listing and the end of the read.
pub(crate) fn read_files(
    folder: &Path,
    listing: &Listing,
    stem: &str,
    most: u64,
) -> Result<PluginFiles, ReadError> {
    let paths = ["wasm", "toml"].map(|extension| folder.join(format!("{stem}.{extension}")));
    let [wasm_stat, sidecar_stat] = listing.stats(stem);
    let sidecar_name = format!("{stem}.toml");
    if listing.irregular.contains(&sidecar_name) {
        let remedy = "replace it by a file, or remove it";
        return Err(ReadError::Refused(LoadError::of_file(sidecar_name, "is not a regular file", remedy)));
    }
    let wasm = read_file(&paths[0], most)?;
    let sidecar = match sidecar_stat {
        Some(_) => Some(text(&format!("{stem}.toml"), read_file(&paths[1], SIDECAR_BYTES)?)?),
        None => None,
    };
    let templates = read_templates(folder, listing, stem)?;
    if [FileStat::of(&paths[0]).ok(), FileStat::of(&paths[1]).ok()] != [wasm_stat, sidecar_stat] {
        return Err(ReadError::Changing);
    }
    Ok(PluginFiles { stem: stem.to_owned(), wasm, sidecar, templates })
}

fn read_templates(
    folder: &Path,
    listing: &Listing,
    stem: &str,
) -> Result<BTreeMap<String, String>, ReadError> {
    let Some(stats) = listing.templates.get(stem) else { return Ok(BTreeMap::new()) };
    let refuse = |file: String, reason: String, remedy: &str| {
        Err(ReadError::Refused(LoadError::of_file(file, reason, remedy)))
    };
    let name = template_folder(stem);
    if stats.len() > TEMPLATES {
        return refuse(name, format!("more than {TEMPLATES} templates"), "remove some");
    }
    let folder = folder.join(&name);
    let mut templates = BTreeMap::new();
    for file in stats.keys() {
        if locale_and_part(file).is_none() {
            let reason = "is not named <locale>.<part>".to_owned();
            return refuse(format!("{name}/{file}"), reason, "rename it, for example to en.subject");
        }
        let bytes = read_file(&folder.join(file), TEMPLATE_BYTES)?;
        templates.insert(file.clone(), text(&format!("{name}/{file}"), bytes)?);
    }
    match template_stats(&folder) {
        Ok(after) if after == *stats => Ok(templates),
        _ => Err(ReadError::Changing),
    }
}

fn text(file: &str, bytes: Vec<u8>) -> Result<String, ReadError> {
    String::from_utf8(bytes).map_err(|_| ReadError::Refused(LoadError::of_file(file, "not UTF-8 text", "")))
}

fn read_file(path: &Path, most: u64) -> Result<Vec<u8>, ReadError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let refuse = |reason: String| ReadError::Refused(LoadError::of_file(name.clone(), reason, ""));
    let file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => ReadError::Changing,
        _ => refuse(error.to_string()),
    })?;
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(|error| refuse(error.to_string()))?;
    match bytes.len() as u64 > most {
        true => Err(refuse(format!("longer than {most} bytes"))),
        false => Ok(bytes),
    }
}
