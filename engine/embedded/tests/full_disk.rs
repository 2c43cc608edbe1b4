//! Tests of a full disk that gets free space again. Writes fail in the kernel: on a small tmpfs if
//! one can be mounted, otherwise because of a limit on the size of files.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use pricedrop_embedded::{Embedded, Options};
use pricedrop_model::ports::{Commit, CommitError, Committer as _, WatchWriter as _};
use pricedrop_model::{Currency, Partition, ProductId, ProductState, StateKey, Watch};
use pricedrop_testing::conformance::commits::block;
use pricedrop_testing::conformance::watches::watch;

/// Environment variable of a child process that runs a test on a small disk: the path of the folder
/// where that disk is mounted.
const SMALL_DISK: &str = "PRICEDROP_TEST_SMALL_DISK";
/// Environment variable of a child process that runs a test with a limit on the size of files: the
/// path of its data folder.
const LIMITED: &str = "PRICEDROP_TEST_LIMITED";
const DISK_BYTES: u64 = 160 << 20;
/// The free space of the last round, in bytes: less than a journal and the table written from
/// it need, so that background work fails too.
const ROOM_BYTES: u64 = 24 << 20;

fn run(mut command: Command) -> bool {
    command.status().unwrap().success()
}

/// Returns whether a file system can be mounted in a new namespace.
fn can_mount() -> bool {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user", "mount", "-t", "tmpfs", "pricedrop", "/tmp"]);
    command.output().is_ok_and(|output| output.status.success())
}

/// Runs a test again in a child process, on a small disk.
fn on_a_small_disk(test: &str, folder: &Path) -> bool {
    let mount = format!("mount -t tmpfs -o size={DISK_BYTES} pricedrop '{}'", folder.display());
    let script = format!("{mount} && exec \"$0\" {test} --exact --nocapture");
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user", "sh", "-c", &script]);
    command.arg(std::env::current_exe().unwrap()).env(SMALL_DISK, folder);
    run(command)
}

/// Runs a test again in a child process, where writing past the limit is an error, not a signal.
fn with_limited_files(test: &str, folder: &Path) -> bool {
    let script = format!("trap '' XFSZ; exec \"$0\" {test} --exact --nocapture");
    let mut command = Command::new("sh");
    command.args(["-c", &script]).arg(std::env::current_exe().unwrap()).env(LIMITED, folder);
    run(command)
}

/// How the disk is filled and freed.
enum Disk<'a> {
    Small(&'a Path),
    Limited,
}

impl Disk<'_> {
    fn fill(&self) {
        match self {
            Disk::Small(folder) => fill(folder),
            Disk::Limited => limit_files("4096"),
        }
    }

    /// Leaves too little space for background work.
    fn leave_a_little(&self) {
        self.fill();
        if let Disk::Small(folder) = self {
            let ballast = std::fs::File::options().write(true).open(folder.join("ballast")).unwrap();
            ballast.set_len(ballast.metadata().unwrap().len() - ROOM_BYTES).unwrap();
        }
    }

    fn free(&self) {
        match self {
            Disk::Small(folder) => std::fs::remove_file(folder.join("ballast")).unwrap(),
            Disk::Limited => limit_files("unlimited"),
        }
    }

    /// Returns the system's error text for a full disk.
    fn words(&self) -> &'static str {
        match self {
            Disk::Small(_) => "No space left",
            Disk::Limited => "File too large",
        }
    }
}

/// Sets the soft limit of this process, which it may raise again.
fn limit_files(bytes: &str) {
    let mut command = Command::new("prlimit");
    command.arg(format!("--pid={}", std::process::id())).arg(format!("--fsize={bytes}:"));
    assert!(run(command));
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

/// Fills the remaining space of the disk.
fn fill(folder: &Path) {
    use std::io::Write as _;
    let mut file = std::fs::File::create(folder.join("ballast")).unwrap();
    let block = [0x5A; 4096];
    while file.write_all(&block).is_ok() {}
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

/// Commits from the stored offset on until a commit fails. Returns the next offset, and the error.
async fn commit_until_full(embedded: &Embedded, mut next: i64) -> (i64, String) {
    let mut committer = embedded.committer();
    committer.restore().await.unwrap();
    loop {
        match committer.commit(commit_of(next)).await {
            Ok(()) => next += 1,
            Err(CommitError::Unknown(reason) | CommitError::NotCommitted(reason)) => {
                return (next, reason.to_string());
            }
            Err(other) => panic!("{other}"),
        }
    }
}

async fn fills_and_heals(folder: &Path, disk: Disk<'_>) {
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
        match round {
            3 => disk.leave_a_little(),
            _ => disk.fill(),
        }
        let (acknowledged, reason) = commit_until_full(&embedded, next).await;
        assert!(!reason.is_empty());
        let refused = watches.put(vec![watch("W", "20", "refused")]).await;
        let said = embedded.down().or(refused.err().map(|error| error.to_string()));
        assert!(said.as_ref().is_some_and(|said| said.contains(disk.words())), "{said:?}");
        disk.free();
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

/// Checks that nothing is lost and nothing is repeated.
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
async fn a_disk_that_fills_up_and_is_freed_loses_and_repeats_nothing() {
    if let Ok(folder) = std::env::var(SMALL_DISK) {
        let folder = Path::new(&folder);
        return fills_and_heals(folder, Disk::Small(folder)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    // Where nothing can be mounted, only the other test fills the disk.
    let test = "a_disk_that_fills_up_and_is_freed_loses_and_repeats_nothing";
    assert!(!can_mount() || on_a_small_disk(test, folder.path()));
}

#[tokio::test]
async fn write_errors_of_the_system_lose_and_repeat_nothing() {
    if let Ok(folder) = std::env::var(LIMITED) {
        return fills_and_heals(Path::new(&folder), Disk::Limited).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let test = "write_errors_of_the_system_lose_and_repeat_nothing";
    assert!(with_limited_files(test, folder.path()));
}
