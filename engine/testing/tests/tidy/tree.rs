//! The files of the repository, and the manifests of its crates.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns the root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Returns every file of the repository, relative to its root, in order: what git tracks or would
/// add; without git, everything that is not ignored.
pub fn files() -> Vec<String> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output();
    let mut files = match listed {
        Ok(output) if output.status.success() => {
            String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
        }
        _ => walk(&root()),
    };
    files.retain(|file| root().join(file).is_file());
    files.sort();
    files.dedup();
    assert!(files.len() > 100, "only {} files found", files.len());
    files
}

fn walk(root: &Path) -> Vec<String> {
    const IGNORED: [&str; 4] = [".git", "target", "node_modules", "pricedrop-data"];
    let (mut found, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let kind = entry.file_type().unwrap();
            if kind.is_dir() && !IGNORED.iter().any(|name| entry.file_name() == *name) {
                folders.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path().strip_prefix(root).unwrap().to_string_lossy().into_owned());
            }
        }
    }
    found
}

/// Returns the files with one of these endings.
pub fn ending(endings: &[&str]) -> Vec<String> {
    let mut files = files();
    files.retain(|file| endings.iter().any(|ending| file.ends_with(ending)));
    files
}

/// Returns the text of a file.
pub fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The manifest of a crate.
pub struct Manifest {
    /// Its path.
    pub file: String,
    /// The crate's name.
    pub name: String,
    table: toml::Table,
}

/// Returns the manifests of the workspace's crates.
pub fn manifests() -> Vec<Manifest> {
    let mut files = ending(&["Cargo.toml"]);
    files.retain(|file| file != "Cargo.toml" && !file.starts_with("plugins/"));
    files.into_iter().map(Manifest::read).collect()
}

impl Manifest {
    fn read(file: String) -> Manifest {
        let table: toml::Table = toml::from_str(&read(&file)).unwrap();
        let name = table["package"]["name"].as_str().unwrap().to_owned();
        Manifest { file, name, table }
    }

    /// Returns the dependencies for building the crate, build dependencies included.
    pub fn dependencies(&self) -> Vec<String> {
        [names(&self.table, "dependencies"), names(&self.table, "build-dependencies")].concat()
    }

    /// Returns the additional dependencies of its tests.
    pub fn dev_dependencies(&self) -> Vec<String> {
        names(&self.table, "dev-dependencies")
    }

    /// Returns whether it inherits the lints of the workspace.
    pub fn takes_lints(&self) -> bool {
        let lints = self.table.get("lints").and_then(|lints| lints.get("workspace"));
        lints.and_then(toml::Value::as_bool) == Some(true)
    }
}

/// Returns the keys of a dependency table, those of single platforms included.
fn names(table: &toml::Table, kind: &str) -> Vec<String> {
    let platforms = table.get("target").and_then(toml::Value::as_table).into_iter().flatten();
    let of_platforms = platforms.filter_map(|(_, platform)| platform.get(kind));
    let tables = table.get(kind).into_iter().chain(of_platforms);
    tables.filter_map(toml::Value::as_table).flat_map(|names| names.keys().cloned()).collect()
}
