//! Damaged files of a store: whatever is damaged, the store either has everything that was
//! acknowledged, or says that it is damaged. What can be read is saved.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use pricedrop_embedded::{Embedded, Error, Options, salvage};
use pricedrop_model::ports::{self, Commit, Committer as _, WatchWriter as _};
use pricedrop_model::{Currency, Partition, ProductId, ProductState, StateKey, Watch};
use pricedrop_testing::conformance::commits::block;
use pricedrop_testing::conformance::watches::watch;

/// Commits of the fixture, each with a state and notifications.
const COMMITS: i64 = 40;
/// Batches of watches. Their long names fill more than one table.
const BATCHES: usize = 70;
const BATCH: usize = 1_000;

fn commit_of(offset: i64) -> Commit {
    let users: Vec<String> = (0..3).map(|n| format!("u{offset}-{n}")).collect();
    let state = ProductState { sequence: Some(offset), ..ProductState::default() };
    Commit {
        fan_outs: vec![block("P", "9.5", offset, &users)],
        states: vec![(state_key(), state)],
        offsets: vec![(Partition(0), offset + 1)],
        ..Commit::default()
    }
}

fn state_key() -> StateKey {
    StateKey { partition: Partition(0), product: ProductId::new("P").unwrap(), currency: Currency::USD }
}

fn batch(number: usize) -> Vec<Watch> {
    let name = "u".repeat(230);
    (0..BATCH).map(|n| watch(&format!("W{}", n % 7), "80", &format!("{name}{number}-{n}"))).collect()
}

fn open(folder: &Path) -> Result<Embedded, Error> {
    Options::new(folder).build()
}

/// Everything that the store contains.
#[derive(Debug, PartialEq, Eq)]
struct Content {
    watches: Vec<String>,
    next_offset: i64,
    sequence: Option<i64>,
    notifications: Vec<i64>,
}

async fn read(embedded: &Embedded) -> Result<Content, ports::Error> {
    let mut watches: Vec<Watch> = Vec::new();
    loop {
        let page = embedded.watches().list(None, watches.last(), 10_000).await?;
        if page.is_empty() {
            break;
        }
        watches.extend(page);
    }
    let mut committer = embedded.committer();
    let restored = committer.restore().await?;
    let states = committer.load(&[(Partition(0), state_key().product)]).await?;
    let notifications = embedded.read_outbox(0, usize::MAX)?;
    Ok(Content {
        watches: watches.iter().map(|watch| format!("{} {}", watch.product_id, watch.user_id)).collect(),
        next_offset: restored.offsets.first().map_or(0, |(_, next)| *next),
        sequence: states.first().and_then(|(_, state)| state.sequence),
        notifications: notifications.into_iter().map(|(offset, _)| offset).collect(),
    })
}

/// Creates a store with tables and journals. Returns its content.
async fn fixture(folder: &Path) -> Content {
    let embedded = open(folder).unwrap();
    let mut committer = embedded.committer();
    committer.restore().await.unwrap();
    for number in 0..BATCHES {
        embedded.watches().put(batch(number)).await.unwrap();
        if let Ok(offset) = i64::try_from(number)
            && offset < COMMITS
        {
            committer.commit(commit_of(offset)).await.unwrap();
        }
    }
    let content = read(&embedded).await.unwrap();
    drop((committer, embedded));
    trim_journals(folder);
    content
}

/// Cuts off the zeros that the database writes ahead, to make copies small.
fn trim_journals(folder: &Path) {
    for path in files(folder).into_keys().filter(|path| path.extension().is_some_and(|end| end == "jnl")) {
        let bytes = fs::read(&path).unwrap();
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        fs::File::options().write(true).open(path).unwrap().set_len(end as u64).unwrap();
    }
}

/// Returns all files in a folder, with their sizes.
fn files(folder: &Path) -> BTreeMap<PathBuf, u64> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files(&entry.path())),
            false => drop(found.insert(entry.path(), entry.metadata().unwrap().len())),
        }
    }
    found
}

fn copy(from: &Path, to: &Path) {
    if to.exists() {
        fs::remove_dir_all(to).unwrap();
    }
    for path in files(from).keys() {
        let target = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(path, target).unwrap();
    }
    for folder in ["store/keyspaces"] {
        for entry in fs::read_dir(from.join(folder)).unwrap().map(Result::unwrap) {
            fs::create_dir_all(to.join(folder).join(entry.file_name()).join("tables")).unwrap();
        }
    }
}

/// Small random numbers, the same for a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides.max(1)
    }
}

/// Damages a file at random. Returns a description.
fn damage(path: &Path, dice: &mut Dice) -> String {
    const PAGE: usize = 4096;
    let mut bytes = fs::read(path).unwrap();
    let length = bytes.len();
    let at = dice.roll(length as u64) as usize;
    let page = at / PAGE * PAGE;
    let end = (page + PAGE).min(length);
    let what = match dice.roll(6) {
        0 | 1 => {
            bytes[at] ^= 1 << dice.roll(8);
            format!("bit flipped at {at}")
        }
        2 => {
            bytes[page..end].fill(0);
            format!("page zeroed at {page}")
        }
        3 if length >= 2 * PAGE => {
            let other = dice.roll((length / PAGE) as u64) as usize * PAGE;
            let taken = bytes[page..page + PAGE.min(length - page)].to_vec();
            let room = taken.len().min(length - other);
            let swapped = bytes[other..other + room].to_vec();
            bytes[page..page + room].copy_from_slice(&swapped);
            bytes[other..other + room].copy_from_slice(&taken[..room]);
            format!("pages {page} and {other} swapped")
        }
        4 => {
            fs::remove_file(path).unwrap();
            return "deleted".into();
        }
        _ => {
            bytes.truncate(at);
            format!("truncated to {at}")
        }
    };
    fs::write(path, bytes).unwrap();
    what
}

/// Opens a store whose files may be damaged, and reads all of it. `None`: it said that it is damaged.
async fn outcome(folder: &Path) -> Option<Content> {
    let embedded = open(folder).ok()?;
    read(&embedded).await.ok()
}

/// The number of damaged stores: `PRICEDROP_TEST_DAMAGES`, or a few.
fn rounds() -> u64 {
    std::env::var("PRICEDROP_TEST_DAMAGES").map_or(120, |number| number.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_is_never_silent() {
    let base = tempfile::tempdir().unwrap();
    let expected = fixture(base.path()).await;
    assert!(files(base.path()).keys().any(|path| path.parent().unwrap().ends_with("tables")), "no tables");
    let seed = std::env::var("PRICEDROP_TEST_SEED").map_or(1, |seed| seed.parse().unwrap());
    let (mut dice, mut noticed) = (Dice(seed), 0);
    let victims: Vec<PathBuf> =
        files(base.path()).into_iter().filter(|(_, size)| *size > 0).map(|(path, _)| path).collect();
    let other = tempfile::tempdir().unwrap();
    let folder = other.path().join("data");
    for round in 0..rounds() {
        copy(base.path(), &folder);
        let victim = &victims[dice.roll(victims.len() as u64) as usize];
        let name = victim.strip_prefix(base.path()).unwrap();
        let what = damage(&folder.join(name), &mut dice);
        match outcome(&folder).await {
            None => noticed += 1,
            Some(content) => {
                assert!(content == expected, "round {round}: {} {what}: silent loss", name.display());
            }
        }
    }
    assert!(noticed * 2 > rounds(), "{noticed} of {} were noticed", rounds());
}

/// Creates a small store with one watch a commit.
async fn small(folder: &Path, watches: usize) {
    let embedded = open(folder).unwrap();
    for number in 0..watches {
        embedded.watches().put(vec![watch("W", "80", &format!("u{number}"))]).await.unwrap();
    }
    drop(embedded);
    trim_journals(folder);
}

/// Flips a bit in the middle of the largest table of watches. Returns its path.
fn damage_a_table_of_watches(folder: &Path) -> PathBuf {
    let tables = files(folder).into_iter().filter(|(path, _)| path.parent().unwrap().ends_with("2/tables"));
    let (table, size) = tables.max_by_key(|(_, size)| *size).unwrap();
    let mut bytes = fs::read(&table).unwrap();
    bytes[size as usize / 2] ^= 1;
    fs::write(&table, bytes).unwrap();
    table
}

fn journal(folder: &Path) -> PathBuf {
    let mut journals =
        files(folder).into_keys().filter(|path| path.extension().is_some_and(|end| end == "jnl"));
    journals.next_back().unwrap()
}

async fn watches(folder: &Path) -> usize {
    read(&open(folder).unwrap()).await.unwrap().watches.len()
}

fn findings(folder: &Path) -> String {
    match open(folder).map(drop) {
        Err(error @ Error::Damaged { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_torn_at_any_byte_by_a_crash_is_no_damage() {
    let base = tempfile::tempdir().unwrap();
    small(base.path(), 5).await;
    let acknowledged = fs::metadata(journal(base.path())).unwrap().len() as usize;
    let mark = fs::read(base.path().join("store.mark")).unwrap();
    let embedded = open(base.path()).unwrap();
    embedded.watches().put(vec![watch("W", "80", "last")]).await.unwrap();
    drop(embedded);
    trim_journals(base.path());
    let path = journal(base.path());
    let bytes = fs::read(&path).unwrap();
    assert!(bytes.len() > acknowledged);
    let other = tempfile::tempdir().unwrap();
    let folder = other.path().join("data");
    for cut in acknowledged..=bytes.len() {
        for padding in [0, 100] {
            copy(base.path(), &folder);
            fs::write(folder.join("store.mark"), &mark).unwrap();
            let torn = [&bytes[..cut], &vec![0; padding]].concat();
            fs::write(folder.join(path.strip_prefix(base.path()).unwrap()), torn).unwrap();
            assert_eq!(watches(&folder).await, 5 + usize::from(cut == bytes.len()), "torn at {cut}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_byte_between_commits_stops_the_start_and_the_other_commits_are_saved() {
    let folder = tempfile::tempdir().unwrap();
    small(folder.path(), 100).await;
    let path = journal(folder.path());
    let mut bytes = fs::read(&path).unwrap();
    let first = bytes.iter().position(|byte| *byte == b'u').unwrap();
    let middle = bytes.windows(3).position(|window| window == b"u50").unwrap();
    assert!(first < middle);
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let before = files(folder.path());
    let text = findings(folder.path());
    assert!(text.contains(".jnl at byte ") && text.contains("49 valid commits follow"), "{text}");
    assert_eq!(files(folder.path()), before, "nothing was changed");
    let report = salvage::check(folder.path()).unwrap();
    assert_eq!((report.findings.len(), text.contains(&report.findings[0].to_string())), (1, true));
    let salvaged = salvage::salvage(folder.path()).unwrap();
    assert!(salvaged.damaged.ends_with("store.damaged") && salvaged.incomplete.is_empty());
    assert!(salvaged.rows.contains(&("watches", 99)), "{salvaged:?}");
    assert_eq!(watches(folder.path()).await, 99);
    // What follows from the rows was computed: the product's count leads to its watches.
    let embedded = open(folder.path()).unwrap();
    embedded.watches().put(vec![watch("W", "80", "new")]).await.unwrap();
    drop(embedded);
    assert_eq!(watches(folder.path()).await, 100);
    assert_eq!(salvage::check(folder.path()).unwrap().findings, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_journals_and_lost_folders_are_no_empty_store() {
    let base = tempfile::tempdir().unwrap();
    small(base.path(), 10).await;
    let other = tempfile::tempdir().unwrap();
    let folder = other.path().join("data");
    copy(base.path(), &folder);
    fs::write(journal(&folder), "").unwrap();
    assert!(findings(&folder).contains("was acknowledged"), "an empty journal");
    copy(base.path(), &folder);
    fs::remove_file(journal(&folder)).unwrap();
    assert!(findings(&folder).contains("was acknowledged"), "no journal");
    assert!(findings(&folder).contains("was acknowledged"), "at the second start too");
    copy(base.path(), &folder);
    fs::remove_dir_all(folder.join("store")).unwrap();
    assert!(findings(&folder).contains("store: the folder is missing"), "no store");
    copy(base.path(), &folder);
    fs::remove_file(folder.join("store/version")).unwrap();
    assert!(findings(&folder).contains("store/version: the file is missing"), "no version");
    copy(base.path(), &folder);
    fs::remove_file(folder.join("store/keyspaces/2/current")).unwrap();
    assert!(findings(&folder).contains("store/keyspaces/2/current: the file is missing"), "no list");
    // The operator may accept the loss.
    let salvaged = salvage::salvage(&folder).unwrap();
    assert_eq!(salvaged.incomplete, ["watches"]);
    assert_eq!(watches(&folder).await, 10, "the journals have the rows");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_table_with_a_damaged_block_the_rows_before_and_after_it_are_saved() {
    let base = tempfile::tempdir().unwrap();
    let expected = fixture(base.path()).await;
    let table = damage_a_table_of_watches(base.path());
    let name = Path::new("store").join(table.strip_prefix(base.path().join("store")).unwrap());
    let report = salvage::check(base.path()).unwrap();
    assert_eq!(report.findings[0].file, name);
    let salvaged = salvage::salvage(base.path()).unwrap();
    assert_eq!(salvaged.incomplete, ["watches"]);
    let content = read(&open(base.path()).unwrap()).await.unwrap();
    assert!(content.watches.len() > expected.watches.len() * 9 / 10, "{} rows", content.watches.len());
    assert!(content.watches.iter().all(|watch| expected.watches.contains(watch)));
    assert_eq!(Content { watches: expected.watches.clone(), ..content }, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_deleted_under_an_open_store_are_noticed_by_the_next_write() {
    let folder = tempfile::tempdir().unwrap();
    small(folder.path(), 3).await;
    let embedded = open(folder.path()).unwrap();
    fs::remove_dir_all(folder.path().join("store")).unwrap();
    for _ in 0..2 {
        let refused = embedded.watches().put(vec![watch("W", "80", "late")]).await.unwrap_err();
        assert!(refused.to_string().contains("were deleted or replaced"), "{refused}");
    }
    assert!(embedded.down().unwrap().contains("were deleted or replaced"));
    assert!(!folder.path().join("store").exists(), "it is not created anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_block_that_a_read_meets_is_named() {
    let base = tempfile::tempdir().unwrap();
    fixture(base.path()).await;
    let table = damage_a_table_of_watches(base.path());
    let embedded = open(base.path()).unwrap();
    let error = read(&embedded).await.unwrap_err().to_string();
    assert!(error.contains("a file of the store is damaged"), "{error}");
    assert!(error.contains("`pricedrop store check` names it"), "{error}");
    while embedded.damaged().is_none() {
        tokio::task::yield_now().await;
    }
    let name = table.file_name().unwrap().to_str().unwrap();
    let expected = format!("store/keyspaces/2/tables/{name}: the table has another checksum");
    assert_eq!(embedded.damaged(), Some(expected));
    // Other products go on.
    embedded.watches().put(vec![watch("other", "80", "u")]).await.unwrap();
}
