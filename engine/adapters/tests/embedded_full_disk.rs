//! A disk that fills and is freed again, a real one: a small file system in
//! memory where that can be mounted, else a limit on the size of files, which
//! the kernel enforces alike.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use pricedrop_adapters::embedded::{Embedded, Options};
use pricedrop_model::seams::{Commit, CommitError, Committer as _, WatchWriter as _};
use pricedrop_model::{Currency, Partition, ProductId, ProductState, StateKey, Watch};
use pricedrop_testing::conformance::commits::block;
use pricedrop_testing::conformance::watches::watch;

/// In which world the test's own child runs.
const INSIDE: &str = "PRICEDROP_FULL_DISK_TEST";
const DISK_BYTES: u64 = 48 << 20;

/// Runs this test again in a mount namespace of its own, on a small disk.
fn on_a_small_disk(test: &str) {
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        "mount -t tmpfs -o size={DISK_BYTES} pricedrop '{0}' && exec \"$0\" {test} --exact --nocapture",
        folder.path().display()
    );
    let status = Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c", &script])
        .arg(std::env::current_exe().unwrap())
        .env(INSIDE, folder.path())
        .status()
        .unwrap();
    assert!(status.success(), "on the small disk: {status}");
}

fn key() -> StateKey {
    let product = ProductId::new("P").unwrap();
    StateKey { partition: Partition(0), product, currency: Currency::USD }
}

fn commit_of(offset: i64) -> Commit {
    let users: Vec<String> = (0..500).map(|n| format!("user-{offset}-{n}")).collect();
    let state = ProductState { sequence: Some(offset), ..ProductState::default() };
    Commit {
        fan_outs: vec![block("P", "9.5", offset, &users)],
        states: vec![(key(), state)],
        offsets: vec![(Partition(0), offset + 1)],
        ..Commit::default()
    }
}

/// Fills what is left of the disk.
fn fill(folder: &Path) -> PathBuf {
    use std::io::Write as _;
    let path = folder.join("ballast");
    let mut file = std::fs::File::create(&path).unwrap();
    let block = [0x5A; 4096];
    while file.write_all(&block).is_ok() {}
    path
}

async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited 30 s for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Commits from the stored position on until one fails; the next offset.
async fn commit_until_full(embedded: &Embedded, mut next: i64) -> (i64, String) {
    let mut committer = embedded.committer();
    committer.restore().await.unwrap();
    loop {
        match committer.commit(commit_of(next)).await {
            Ok(()) => next += 1,
            Err(CommitError::Unknown(reason) | CommitError::Nothing(reason)) => return (next, reason),
            Err(other) => panic!("{other}"),
        }
    }
}

async fn fills_and_heals(folder: &Path) {
    let embedded = Options::new(folder.join("data")).build().unwrap();
    let watches = embedded.watches();
    let mut answered: Vec<Watch> = Vec::new();
    let mut next = 0;
    for round in 0..4 {
        for n in 0..50 {
            let one = watch("W", "10", &format!("{round}-{n}"));
            watches.put(vec![one.clone()]).await.unwrap();
            answered.push(one);
        }
        for _ in 0..20 {
            embedded.committer().commit(commit_of(next)).await.unwrap();
            next += 1;
        }
        let ballast = fill(folder);
        let (acknowledged, reason) = commit_until_full(&embedded, next).await;
        assert!(!reason.is_empty());
        let refused = watches.put(vec![watch("W", "20", "refused")]).await;
        let said = embedded.down().or(refused.err().map(|error| error.to_string()));
        assert!(said.is_some_and(|said| said.contains("No space left")), "the reason is the system's");
        std::fs::remove_file(ballast).unwrap();
        next = until("the store to heal", async || {
            let restored = embedded.committer().restore().await.ok()?;
            let (_, next) = restored.offsets[0];
            embedded.committer().commit(commit_of(next)).await.ok().map(|()| next + 1)
        })
        .await;
        assert!(next > acknowledged, "an answered commit is lost");
        assert!(next <= acknowledged + 2, "something was committed that nobody asked for");
    }
    check(&embedded, next, &answered).await;
    drop((embedded, watches));
    let reopened = Options::new(folder.join("data")).build().unwrap();
    check(&reopened, next, &answered).await;
}

/// Nothing is lost, nothing is repeated.
async fn check(embedded: &Embedded, next: i64, answered: &[Watch]) {
    let told = embedded.read_outbox(0, usize::MAX).unwrap();
    let users = told.iter().map(|(_, one)| one.user_id.to_string());
    assert!(users.eq((0..next).flat_map(|offset| (0..500).map(move |n| format!("user-{offset}-{n}")))));
    assert!(told.iter().map(|(offset, _)| *offset).eq(0..next * 500));
    let stored = embedded.watches().list(None, None, usize::MAX).await.unwrap();
    for watch in answered {
        let same = |row: &&Watch| row.user_id == watch.user_id;
        assert_eq!(stored.iter().filter(same).count(), 1, "{watch:?}");
    }
}

#[tokio::test]
async fn a_disk_that_fills_and_is_freed_loses_and_repeats_nothing() {
    match std::env::var(INSIDE) {
        Ok(folder) => fills_and_heals(Path::new(&folder)).await,
        Err(_) => on_a_small_disk("a_disk_that_fills_and_is_freed_loses_and_repeats_nothing"),
    }
}
