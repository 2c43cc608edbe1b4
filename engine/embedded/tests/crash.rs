//! `kill -9` at any moment: a child process commits and writes watches in a loop, and prints what
//! was acknowledged; the parent kills it and checks the store.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pricedrop_embedded::{Embedded, Options};
use pricedrop_model::ports::{Commit, Committer as _, WatchWriter as _};
use pricedrop_model::{Currency, Partition, ProductId, ProductState, StateKey, Watch};
use pricedrop_testing::conformance::commits::block;
use pricedrop_testing::conformance::watches::watch;

const FOLDER: &str = "PRICEDROP_CRASH_TEST_FOLDER";
const KILLS: u64 = 60;

fn key(product: i64) -> StateKey {
    let product = ProductId::new(&format!("P{product}")).unwrap();
    StateKey { partition: Partition(0), product, currency: Currency::USD }
}

/// Returns the commit of record `offset`: one state that counts, and `offset % 4` notifications.
fn commit_of(offset: i64) -> Commit {
    let users: Vec<String> = (0..offset % 4).map(|n| format!("u{offset}-{n}")).collect();
    let product = offset % 10;
    let state = ProductState { sequence: Some(offset), ..ProductState::default() };
    Commit {
        fan_outs: vec![block(&format!("P{product}"), "9.5", offset, &users)],
        states: vec![(key(product), state)],
        offsets: vec![(Partition(0), offset + 1)],
        ..Commit::default()
    }
}

async fn next_offset(embedded: &Embedded) -> i64 {
    let restored = embedded.committer().restore().await.unwrap();
    restored.offsets.first().map_or(0, |(_, next)| *next)
}

/// Runs as the child process, until it is killed.
async fn work(folder: &Path) {
    let embedded = Options::new(folder).build().unwrap();
    let (mut committer, watches) = (embedded.committer(), embedded.watches());
    committer.restore().await.unwrap();
    let mut offset = next_offset(&embedded).await;
    let writer = tokio::spawn(async move {
        for n in 0.. {
            let user = format!("{}-{n}", std::process::id());
            let threshold = format!("{}", n % 50);
            let watches_of_turn: Vec<Watch> =
                (0..3).map(|product| watch(&format!("W{product}"), &threshold, &user)).collect();
            watches.put(watches_of_turn).await.unwrap();
            say(&format!("watch {threshold} {user}"));
        }
    });
    loop {
        committer.commit(commit_of(offset)).await.unwrap();
        say(&format!("commit {offset}"));
        offset += 1;
        assert!(!writer.is_finished());
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

#[test]
fn child() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(work(Path::new(&folder)));
}

/// Runs the child for a while and kills it. Returns the lines it printed.
fn run_and_kill(folder: &Path, lifetime: Duration) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = child.stdout.take().unwrap();
    let said = std::thread::spawn(move || {
        BufReader::new(stdout).lines().map_while(Result::ok).collect::<Vec<String>>()
    });
    let until = Instant::now() + lifetime;
    while Instant::now() < until {
        assert!(child.try_wait().unwrap().is_none(), "the child ended by itself");
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    said.join().unwrap()
}

/// Checks that offset, states and outbox of a store agree.
async fn check_agreement(embedded: &Embedded, acknowledged: i64) -> i64 {
    let next = next_offset(embedded).await;
    assert!(next > acknowledged, "commit {acknowledged} was answered; the store is at {next}");
    let mut sequences = BTreeMap::new();
    let products: Vec<_> = (0..10).map(|product| (Partition(0), key(product).product)).collect();
    for (key, state) in embedded.committer().load(&products).await.unwrap() {
        sequences.insert(key.product.to_string(), state.sequence.unwrap());
    }
    for product in 0..10.min(next) {
        let last = (0..next).rev().find(|offset| offset % 10 == product).unwrap();
        assert_eq!(sequences[&format!("P{product}")], last);
    }
    let told = embedded.read_outbox(0, usize::MAX).unwrap();
    let expected = (0..next).flat_map(|offset| (0..offset % 4).map(move |n| format!("u{offset}-{n}")));
    let users: Vec<String> = told.iter().map(|(_, one)| one.user_id.to_string()).collect();
    assert_eq!(users, expected.collect::<Vec<_>>());
    assert!(told.iter().map(|(offset, _)| *offset).eq(0..told.len() as i64));
    next
}

/// Returns every stored watch as (product, threshold, user).
async fn stored_watches(embedded: &Embedded) -> HashSet<(String, String, String)> {
    let (watches, mut last, mut stored) = (embedded.watches(), None, HashSet::new());
    loop {
        let page = watches.list(None, last.as_ref(), 4096).await.unwrap();
        let Some(end) = page.last() else { return stored };
        last = Some(end.clone());
        stored.extend(page.iter().map(|watch| {
            let (product, user) = (watch.product_id.to_string(), watch.user_id.to_string());
            (product, watch.price_watch_value.to_string(), user)
        }));
    }
}

#[tokio::test]
async fn kill_9_at_any_moment_leaves_no_partial_commit_and_loses_no_acknowledged_watch() {
    let folder = tempfile::tempdir().unwrap();
    let (mut acknowledged, mut watches_checked, mut next) = (-1, 0, 0);
    for kill in 0..KILLS {
        // From before the store exists until long after it works.
        let lifetime = Duration::from_micros(kill * kill * 211 + kill * 997);
        let said = run_and_kill(folder.path(), lifetime);
        let embedded = Options::new(folder.path()).build().unwrap();
        let stored = stored_watches(&embedded).await;
        for line in &said {
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["commit", offset] => acknowledged = acknowledged.max(offset.parse().unwrap()),
                ["watch", threshold, user] => {
                    for product in ["W0", "W1", "W2"] {
                        let watch = (product.to_owned(), threshold.to_owned(), user.to_owned());
                        assert!(stored.contains(&watch), "{watch:?} was answered and is lost");
                    }
                    watches_checked += 1;
                }
                _ => {}
            }
        }
        next = check_agreement(&embedded, acknowledged).await;
    }
    assert!(
        next > 100 && watches_checked > 100,
        "{next} commits, {watches_checked} watches: too few to tell"
    );
    println!("{KILLS} kills, {next} commits, {watches_checked} watches checked");
}
