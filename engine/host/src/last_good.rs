//! The last-good store: the files of the current and the previous generation of every plugin, by
//! digest, in the data folder.
//!
//! Invariant: with a data folder, a broken file in the plugin folder does not leave the engine
//! without that plugin, even after a restart. Without a data folder no files are stored, and the
//! index is kept in memory only.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};

use pricedrop_model::plugin::PolicyIdentity;
use pricedrop_model::sync::lock;
use serde::{Deserialize, Serialize};

use crate::cache::{private_folder, write_atomically};
use crate::digest::Digest;
use crate::error::Error;
use crate::files::PluginFiles;
use crate::limits::REJECTED_DIGESTS;

/// The index entry of one file stem.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The current generation.
    pub(crate) current: Option<Digest>,
    /// Whether the current generation passed its probation.
    pub(crate) proven: bool,
    /// The previous generation, as long as a rollback may need it.
    pub(crate) previous: Option<Digest>,
    /// Generations that failed in service, with the reason, oldest first; at most
    /// [`REJECTED_DIGESTS`].
    pub(crate) rejected: Vec<(Digest, String)>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Index {
    stems: BTreeMap<String, Entry>,
    /// The fingerprint of every policy that was ever accepted, by its identity.
    policies: BTreeMap<String, String>,
}

/// The store of last-good files.
pub(crate) struct LastGood {
    folder: Option<PathBuf>,
    index: Mutex<Index>,
}

impl LastGood {
    /// Opens the store, or creates it. An index that cannot be parsed counts as empty: the plugin
    /// folder is authoritative.
    ///
    /// # Errors
    /// The folder cannot be created or made private.
    pub(crate) fn open(folder: Option<PathBuf>) -> Result<LastGood, Error> {
        let Some(folder) = folder else {
            return Ok(LastGood { folder: None, index: Mutex::default() });
        };
        private_folder(&folder)?;
        let text = fs::read_to_string(folder.join("index.json")).unwrap_or_else(|_| "{}".into());
        let index = serde_json::from_str(&text).unwrap_or_else(|error| {
            if text != "{}" {
                tracing::warn!(folder = %folder.display(), "the index of last-good plugins cannot be parsed: {error}");
            }
            Index::default()
        });
        Ok(LastGood { folder: Some(folder), index: Mutex::new(index) })
    }

    pub(crate) fn stems(&self) -> Vec<String> {
        self.index().stems.keys().cloned().collect()
    }

    pub(crate) fn entry(&self, stem: &str) -> Entry {
        self.index().stems.get(stem).cloned().unwrap_or_default()
    }

    /// Returns why this generation failed in service; none if it did not.
    pub(crate) fn rejected(&self, stem: &str, digest: &Digest) -> Option<String> {
        let index = self.index();
        let rejected = &index.stems.get(stem)?.rejected;
        rejected.iter().find(|(known, _)| known == digest).map(|(_, reason)| reason.clone())
    }

    /// Returns the recorded fingerprint of the policy with this name, if it differs from the
    /// policy's fingerprint.
    pub(crate) fn other_fingerprint(&self, policy: &PolicyIdentity) -> Option<String> {
        self.index().policies.get(&policy.name).filter(|known| **known != policy.fingerprint).cloned()
    }

    pub(crate) fn remember_policy(&self, policy: &PolicyIdentity) {
        let mut index = self.index();
        index.policies.insert(policy.name.clone(), policy.fingerprint.clone());
        self.write(&index);
    }

    /// Writes the current and the previous generation of a stem to the index, and deletes files
    /// that no stem needs.
    pub(crate) fn record(
        &self,
        stem: &str,
        current: Option<&Digest>,
        proven: bool,
        previous: Option<&Digest>,
    ) {
        let mut index = self.index();
        let entry = index.stems.entry(stem.to_owned()).or_default();
        (entry.current, entry.proven, entry.previous) = (current.cloned(), proven, previous.cloned());
        self.write(&index);
        self.forget_unused(&index);
    }

    pub(crate) fn reject(&self, stem: &str, digest: &Digest, reason: &str) {
        let mut index = self.index();
        let rejected = &mut index.stems.entry(stem.to_owned()).or_default().rejected;
        rejected.retain(|(known, _)| known != digest);
        rejected.push((digest.clone(), reason.to_owned()));
        let surplus = rejected.len().saturating_sub(REJECTED_DIGESTS);
        rejected.drain(..surplus);
        self.write(&index);
    }

    /// Stores a copy of a plugin's files. A failure is logged only.
    pub(crate) fn store(&self, files: &PluginFiles) {
        let Some(folder) = &self.folder else { return };
        let digest = files.digest();
        let sidecar = files.sidecar.as_deref().unwrap_or_default();
        let templates = serde_json::to_vec(&files.templates).expect("templates are texts");
        let written = write_atomically(&folder.join(format!("{digest}.toml")), &[sidecar.as_bytes()])
            .and_then(|()| write_atomically(&folder.join(format!("{digest}.templates")), &[&templates]))
            .and_then(|()| write_atomically(&folder.join(format!("{digest}.wasm")), &[&files.wasm]));
        if let Err(error) = written {
            tracing::warn!(plugin = files.stem, "the last-good files were not stored: {error}");
        }
    }

    /// Reads stored files; none if they are missing or do not match their digest.
    pub(crate) fn files(&self, stem: &str, digest: &Digest) -> Option<PluginFiles> {
        let folder = self.folder.as_ref()?;
        let wasm = fs::read(folder.join(format!("{digest}.wasm"))).ok()?;
        let sidecar = fs::read_to_string(folder.join(format!("{digest}.toml"))).ok()?;
        let sidecar = Some(sidecar).filter(|text| !text.is_empty());
        let templates = fs::read(folder.join(format!("{digest}.templates"))).ok()?;
        let templates = serde_json::from_slice(&templates).ok()?;
        let files = PluginFiles { stem: stem.to_owned(), wasm, sidecar, templates };
        (files.digest() == *digest).then_some(files)
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        lock(&self.index)
    }

    fn write(&self, index: &Index) {
        let Some(folder) = &self.folder else { return };
        let text = serde_json::to_vec_pretty(index).expect("an index holds only texts");
        if let Err(error) = write_atomically(&folder.join("index.json"), &[&text]) {
            tracing::warn!(folder = %folder.display(), "the index of last-good plugins was not written: {error}");
        }
    }

    fn forget_unused(&self, index: &Index) {
        let Some(Ok(entries)) = self.folder.as_ref().map(fs::read_dir) else { return };
        let entries_of = index.stems.values();
        let used: BTreeSet<&str> = entries_of
            .flat_map(|entry| entry.current.iter().chain(&entry.previous))
            .map(Digest::as_str)
            .collect();
        for entry in entries.flatten() {
            let path = entry.path();
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if stem != "index" && !used.contains(stem.as_str()) {
                let _ = fs::remove_file(path);
            }
        }
    }
}
