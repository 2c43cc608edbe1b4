//! The notifications on the cluster are exactly those that `simulate` prints.

use std::path::Path;
use std::time::{Duration, Instant};

use pricedrop_harness::{Home, request};
use serde_json::Value;

use crate::faults::{ALL_FAULTS, ENGINE_FAULTS, Engines, Fault, FaultInjector};
use crate::files::{self, Dice, Size};
use crate::rig::{Cluster, Own, PATIENCE, Servers, simulated, wait_until, watches_around, with_watches};
use crate::{number, seed};

const SIZE: Size = Size { products: 1_000, watches: 50_000, updates: 20_000 };

/// Writes the watches into an engine's folder, and returns the updates: those of the file that
/// `PRICEDROP_TEST_UPDATES` names, or random ones.
fn write_inputs(home: &Home, dice: &mut Dice) -> Vec<String> {
    let (updates, watches) = match std::env::var("PRICEDROP_TEST_UPDATES") {
        Ok(file) => {
            let text = std::fs::read_to_string(file).unwrap();
            let updates: Vec<String> = text.lines().map(str::to_owned).collect();
            let watches = watches_around(dice, &updates, 125);
            (updates, watches)
        }
        Err(_) => (files::updates(dice, SIZE), files::watches(dice, SIZE)),
    };
    std::fs::write(home.folder.join("watches.csv"), watches).unwrap();
    updates
}

/// Returns what `simulate` prints for these lines and the watches in the folder.
pub fn simulate(home: &Home, lines: &[String]) -> Vec<String> {
    std::fs::write(home.folder.join("updates.jsonl"), lines.join("\n")).unwrap();
    simulated(home)
}

#[test]
fn user_notifications_hold_what_simulate_prints() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::new(Servers::shared(), folder.path(), "");
    let home = cluster.home("one");
    let updates = write_inputs(&home, &mut Dice(seed()));
    let expected = simulate(&home, &updates);
    let begun = Instant::now();
    let _engine = with_watches(&home);
    eprintln!("watches written in {:?}", begun.elapsed());
    let begun = Instant::now();
    cluster.send(&updates);
    let told = cluster.told(expected.len());
    eprintln!("{} updates, {} notifications in {:?}", updates.len(), told.len(), begun.elapsed());
    files::assert_same(&told, &expected, "undisturbed");
}

/// Updates that are sent at once.
const A_PART: usize = 200;

/// The settings of a campaign.
struct Campaign {
    name: &'static str,
    instances: usize,
    faults: &'static [Fault],
    /// The servers into which faults are injected.
    own: Option<Own>,
    /// How long updates are sent slowly, in seconds.
    seconds: u64,
    /// Whether watches are added and removed meanwhile.
    changes: bool,
    /// More settings of `[stream]`.
    stream: &'static str,
}

/// The notifications of the engines and of `simulate`.
struct Told {
    live: Vec<String>,
    simulate: Vec<String>,
    what: String,
}

impl Campaign {
    /// Runs several engines, with faults while updates arrive slowly. The result must be the
    /// same as without faults.
    fn run(self, folder: &Path) -> Told {
        let seed = seed();
        let mut dice = Dice(seed);
        let servers = self.own.as_ref().map_or_else(Servers::shared, Own::servers);
        let cluster = Cluster::new(servers, folder, self.stream);
        let homes: Vec<Home> =
            (0..self.instances).map(|one| cluster.home(&format!("engine-{one}"))).collect();
        let updates = write_inputs(&homes[0], &mut dice);
        let mut running = vec![with_watches(&homes[0])];
        running.extend(homes[1..].iter().map(|home| home.start().unwrap()));
        let engines = Engines::new(&homes, running);
        let begun = Instant::now();
        let injector = FaultInjector::start(&engines, self.own, self.faults, seed);
        let mut lines = Vec::new();
        let mut sent = 0;
        while sent < updates.len() {
            // When the time is up, the remaining updates are sent at once, under the last faults.
            let hurry = begun.elapsed() >= Duration::from_secs(self.seconds);
            let next = if hurry { updates.len() } else { updates.len().min(sent + A_PART) };
            cluster.send(&updates[sent..next]);
            lines.extend_from_slice(&updates[sent..next]);
            sent = next;
            if self.changes && !hurry {
                // Everything sent is decided before the watches change.
                cluster.wait_until_decided();
                lines.extend(files::change_watches(&mut dice, SIZE, sent, 40, |method, path, body| {
                    request_until_answered(&engines, method, path, body);
                }));
            } else {
                std::thread::park_timeout(Duration::from_millis(250));
            }
        }
        eprintln!("{sent} updates and {} changes sent in {:?}", lines.len() - sent, begun.elapsed());
        let (injected, _own) = injector.end();
        let expected = simulate(&homes[0], &lines);
        let live = cluster.told(expected.len());
        let what = format!("{}, seed {seed}", self.name);
        eprintln!("{what}: {injected} faults, {} notifications in {:?}", live.len(), begun.elapsed());
        Told { live, simulate: expected, what }
    }
}

/// Repeats a request until an engine responds, then waits until drops use the change.
fn request_until_answered(engines: &Engines, method: &str, path: &str, body: &str) {
    let begun = Instant::now();
    let answer = loop {
        match request(&engines.address(0), method, path, body.as_bytes()) {
            Ok(answer) => break answer,
            Err(error) => {
                let patient = begun.elapsed() < PATIENCE;
                assert!(patient, "no answer: {error}; its log ends with: {}", engines.end_of_log(0));
            }
        }
        std::thread::park_timeout(Duration::from_millis(20));
    };
    let answer: Value = serde_json::from_str(&answer).unwrap();
    if let Some(by) = answer["effectiveBy"].as_i64() {
        wait_until(by);
    }
}

/// Returns how long a campaign lasts, in seconds; `make test-faults` makes it longer.
fn seconds(usually: u64) -> u64 {
    number("PRICEDROP_TEST_SECONDS").unwrap_or(usually)
}

#[test]
fn one_engine_killed_again_and_again_loses_nothing_and_repeats_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let told = Campaign {
        name: "one engine, killed",
        instances: 1,
        faults: &[Fault::Kill],
        own: None,
        seconds: seconds(20),
        changes: false,
        stream: "",
    };
    let told = told.run(folder.path());
    files::assert_same(&told.live, &told.simulate, &told.what);
}

#[test]
fn engines_that_join_leave_crash_and_pause_lose_nothing_and_repeat_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let told = Campaign {
        name: "three engines",
        instances: 3,
        faults: ENGINE_FAULTS,
        own: None,
        seconds: seconds(30),
        changes: true,
        stream: "",
    };
    let told = told.run(folder.path());
    files::assert_same(&told.live, &told.simulate, &told.what);
}

#[test]
fn servers_that_crash_and_lose_their_cache_lose_nothing_and_repeat_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let told = Campaign {
        name: "two engines and their servers",
        instances: 2,
        faults: ALL_FAULTS,
        own: Some(Own::new(folder.path())),
        seconds: seconds(30),
        changes: true,
        stream: "",
    };
    let told = told.run(folder.path());
    files::assert_same(&told.live, &told.simulate, &told.what);
}

#[test]
fn at_least_once_loses_nothing_although_engines_crash() {
    let folder = tempfile::tempdir().unwrap();
    let told = Campaign {
        name: "at least once",
        instances: 2,
        faults: &[Fault::Kill, Fault::Leave],
        own: None,
        seconds: seconds(10),
        changes: false,
        stream: "delivery = \"at-least-once\"",
    };
    let mut told = told.run(folder.path());
    eprintln!("{} were told, {} of them again", told.live.len(), told.live.len() - told.simulate.len());
    told.live.dedup();
    told.simulate.dedup();
    files::assert_same(&told.live, &told.simulate, &told.what);
}
