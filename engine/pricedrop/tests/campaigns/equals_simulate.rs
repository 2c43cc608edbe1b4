//! Told on the cluster, told by the twin: the same, no more, no less.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pricedrop_harness::{Engine, Home};

use crate::files::{self, Dice, Size};
use crate::rig::{Cluster, Servers, simulated, with_watches};

const SIZE: Size = Size { products: 1_000, watches: 50_000, updates: 20_000 };

/// Files of watches and updates, in an engine's folder.
fn furnish(home: &Home, dice: &mut Dice, size: Size) -> Vec<String> {
    let updates = files::updates(dice, size);
    std::fs::write(home.folder.join("watches.csv"), files::watches(dice, size)).unwrap();
    std::fs::write(home.folder.join("updates.jsonl"), updates.join("\n")).unwrap();
    updates
}

fn seed() -> u64 {
    let seed = std::env::var("PRICEDROP_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0xC10);
    eprintln!("PRICEDROP_TEST_SEED={seed}");
    seed
}

#[test]
fn user_notifications_hold_what_simulate_prints() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::new(Servers::shared(), folder.path(), "");
    let home = cluster.home("one");
    let updates = furnish(&home, &mut Dice(seed()), SIZE);
    let expected = simulated(&home);
    let begun = Instant::now();
    let _engine = with_watches(&home);
    eprintln!("{} watches written in {:?}", SIZE.watches, begun.elapsed());
    let begun = Instant::now();
    cluster.send(&updates);
    let told = cluster.told(expected.len());
    eprintln!("{} updates, {} notifications in {:?}", updates.len(), told.len(), begun.elapsed());
    files::assert_same(&told, &expected, "undisturbed");
}

/// What is done to engines, one after the other.
#[derive(Debug, Clone, Copy)]
enum Blow {
    /// `kill -9`, and a new start.
    Kill,
    /// A stop in order, and a new start.
    Leave,
    /// Stopped past its session, and continued.
    Pause,
}

/// Engines that are struck at random moments until told otherwise.
fn strike(
    homes: &[Home],
    engines: &Arc<Mutex<Vec<Engine>>>,
    seed: u64,
    blows: &'static [Blow],
    until: &Arc<AtomicBool>,
) -> std::thread::JoinHandle<usize> {
    let (homes, engines, until) = (homes.to_vec(), engines.clone(), until.clone());
    let mut dice = Dice(seed ^ 0x5151);
    std::thread::spawn(move || {
        let mut struck = 0;
        while !until.load(Ordering::Relaxed) {
            std::thread::park_timeout(Duration::from_millis(300 + dice.roll(2_500)));
            let which = dice.roll(homes.len() as u64) as usize;
            let blow = blows[dice.roll(blows.len() as u64) as usize];
            let mut engines = engines.lock().unwrap();
            match blow {
                Blow::Kill => {
                    engines[which].kill().unwrap();
                    engines[which] = homes[which].launch().unwrap();
                }
                Blow::Leave => {
                    engines[which].signal("TERM").unwrap();
                    engines[which].wait().unwrap();
                    engines[which] = homes[which].launch().unwrap();
                }
                Blow::Pause => {
                    engines[which].signal("STOP").unwrap();
                    std::thread::park_timeout(Duration::from_millis(7_000 + dice.roll(3_000)));
                    engines[which].signal("CONT").unwrap();
                }
            }
            struck += 1;
        }
        struck
    })
}

/// Several engines, struck while updates come in slowly; then everything must
/// be as if nothing had happened.
fn campaign(name: &str, instances: usize, blows: &'static [Blow], seconds: u64) {
    let seed = seed();
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::new(Servers::shared(), folder.path(), "");
    let homes: Vec<Home> = (0..instances).map(|one| cluster.home(&format!("engine-{one}"))).collect();
    let updates = furnish(&homes[0], &mut Dice(seed), SIZE);
    let expected = simulated(&homes[0]);
    let mut engines = vec![with_watches(&homes[0])];
    engines.extend(homes[1..].iter().map(|home| home.start().unwrap()));
    let engines = Arc::new(Mutex::new(engines));
    let over = Arc::new(AtomicBool::new(false));
    let striker = strike(&homes, &engines, seed, blows, &over);
    let begun = Instant::now();
    let parts = seconds * 4;
    for part in updates.chunks(updates.len().div_ceil(parts as usize)) {
        cluster.send(part);
        std::thread::park_timeout(Duration::from_millis(250));
    }
    over.store(true, Ordering::Relaxed);
    striker.thread().unpark();
    let struck = striker.join().unwrap();
    let told = cluster.told(expected.len());
    eprintln!("{name}: {struck} blows, {} notifications in {:?}, seed {seed}", told.len(), begun.elapsed());
    files::assert_same(&told, &expected, &format!("{name}, seed {seed}"));
    drop(engines);
}

/// How long a campaign lasts; `make test-faults` makes it longer.
fn seconds(usually: u64) -> u64 {
    std::env::var("PRICEDROP_TEST_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(usually)
}

#[test]
fn one_engine_killed_again_and_again_loses_nothing_and_repeats_nothing() {
    campaign("one engine, killed", 1, &[Blow::Kill], seconds(20));
}

#[test]
fn engines_that_come_go_die_and_sleep_lose_nothing_and_repeat_nothing() {
    campaign("three engines", 3, &[Blow::Kill, Blow::Leave, Blow::Pause], seconds(40));
}
