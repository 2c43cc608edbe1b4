//! Helpers of the host's tests: a plugin folder for each test, and the paths of built plugins.
#![allow(dead_code, clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pricedrop_host::{Host, Options};
use pricedrop_model::plugin::{Error, Plugins};
use pricedrop_model::{BucketId, Price, ProductId};

pub fn built(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/dist").join(format!("{name}.wasm"))
}

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(format!("{name}.wasm"))
}

/// A plugin folder and a data folder, deleted with the test.
pub struct Place {
    root: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Place {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("plugins")).unwrap();
        Place { root }
    }

    pub fn root(&self) -> &Path {
        self.root.path()
    }

    pub fn folder(&self) -> PathBuf {
        self.root.path().join("plugins")
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// Writes a file atomically, by rename.
    pub fn put(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let beside = self.root.path().join("partial");
        fs::write(&beside, bytes).unwrap();
        fs::rename(&beside, self.file(name)).unwrap();
    }

    pub fn put_plugin(&self, stem: &str, built: &Path) {
        self.put(&format!("{stem}.wasm"), fs::read(built).unwrap());
    }

    pub fn put_floor(&self, stem: &str, width: &str) {
        self.put(&format!("{stem}.toml"), format!("[settings]\nwidth = \"{width}\"\n"));
        self.put_plugin(stem, &built("bucketing-floor"));
    }

    /// Installs the hostile bucketing policy, which misbehaves after `after` calls.
    pub fn put_hostile(&self, stem: &str, behaviour: &str, after: u32) {
        self.put_plugin(stem, &fixture("hostile"));
        self.put(&format!("{stem}.toml"), settings(behaviour, after));
    }

    pub fn options(&self) -> Options {
        Options {
            folder: self.folder(),
            data_dir: Some(self.root.path().join("data")),
            debounce_ms: 20,
            poll_ms: 100,
            ..Options::default()
        }
    }

    pub fn host(&self) -> Host {
        self.options().build().unwrap()
    }
}

pub fn settings(behaviour: &str, after: u32) -> String {
    format!("[settings]\nbehaviour = \"{behaviour}\"\nafter = {after}\n")
}

pub fn prices(texts: &[&str]) -> Vec<Price> {
    texts.iter().map(|text| Price::parse(text).unwrap()).collect()
}

pub fn product() -> ProductId {
    ProductId::new("P7").unwrap()
}

/// Returns the buckets that the serving policy assigns.
pub fn buckets(host: &Host, texts: &[&str]) -> Result<Vec<i64>, Error> {
    let policy = host.bucketing().expect("a policy serves");
    let buckets = policy.buckets_of(&product(), &prices(texts))?;
    Ok(buckets.into_iter().map(|BucketId(bucket)| bucket).collect())
}

/// Returns the problem that the host's status reports for a plugin.
pub fn problem(host: &Host, name: &str) -> String {
    host.status().plugin(name).and_then(|plugin| plugin.problem.clone()).unwrap_or_default()
}

/// Waits until a condition holds, at most ten seconds.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(10), "not within ten seconds: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
