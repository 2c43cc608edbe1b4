//! A thousand reloads while prices arrive: no user is missed or notified twice, memory does not
//! grow, and the latency of updates hardly changes.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::files::{self, Dice, Size};
use pricedrop_harness::{Engine, Home, wait_for};

const RELOADS: usize = 1_000;
const SIZE: Size = Size { products: 100, watches: 10_000, updates: 200_000 };
/// Reloads before memory is first measured, when caches and pools are full.
const WARM_UP: usize = 100;
const GROWTH_BYTES: u64 = 48 << 20;

/// Posts updates one by one, and measures how long each takes.
struct Poster {
    updates: Vec<String>,
    sent: usize,
}

impl Poster {
    fn post(&mut self, engine: &Engine) -> Duration {
        let begun = Instant::now();
        files::post(&engine.address, &self.updates[self.sent..self.sent + 1], self.sent).unwrap();
        self.sent += 1;
        begun.elapsed()
    }
}

#[test]
fn a_thousand_reloads_lose_nothing_repeat_nothing_and_grow_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let home = files::home(folder.path());
    let config = files::CONFIG.replace("folder = \"plugins\"", "folder = \"plugins\"\ndebounce = \"1ms\"");
    std::fs::write(folder.path().join("pricedrop.toml"), config).unwrap();
    let mut dice = Dice(0x5EA);
    let updates = files::updates(&mut dice, SIZE);
    std::fs::write(folder.path().join("watches.csv"), files::watches(&mut dice, SIZE)).unwrap();
    let engine = Arc::new(home.start().unwrap());
    home.run(&["watch", "import", "watches.csv", "--url", &engine.url()]).unwrap();

    let mut poster = Poster { updates, sent: 0 };
    let quiet: Vec<Duration> = (0..5_000).map(|_| poster.post(&engine)).collect();
    let done = Arc::new(AtomicBool::new(false));
    let memory = Arc::new(Mutex::new(Vec::new()));
    let reloading = {
        let (engine, home, done, memory) = (engine.clone(), home.clone(), done.clone(), memory.clone());
        std::thread::spawn(move || {
            for number in 0..RELOADS {
                reload(&engine, &home, number);
                if number >= WARM_UP {
                    memory.lock().unwrap().push(engine.resident_bytes().unwrap());
                }
            }
            done.store(true, Relaxed);
        })
    };
    let mut loud = Vec::new();
    while !done.load(Relaxed) {
        assert!(poster.sent < poster.updates.len(), "the updates ran out before the reloads");
        loud.push(poster.post(&engine));
    }
    reloading.join().unwrap();

    std::fs::write(folder.path().join("updates.jsonl"), poster.updates[..poster.sent].join("\n")).unwrap();
    files::assert_same(&files::told(&engine), &files::simulated(&home), "after a thousand reloads");
    let memory = memory.lock().unwrap();
    let (first, most) = (memory[0], *memory.iter().max().unwrap());
    let (quiet, loud) = (tail(quiet), tail(loud));
    eprintln!(
        "{RELOADS} reloads, {} updates; p99.9 of an update: quiet {quiet:?}, during reloads {loud:?}, {:.1} x; \
         resident: {} MiB after {WARM_UP} reloads, at most {} MiB",
        poster.sent,
        loud.as_secs_f64() / quiet.as_secs_f64(),
        first >> 20,
        most >> 20
    );
    assert!(most < first + GROWTH_BYTES, "grew from {first} to {most} bytes");
}

/// Rewrites the sidecar of the policy or of the throttle, in turn, and waits until it serves.
fn reload(engine: &Engine, home: &Home, number: usize) {
    let (stem, settings) = match number % 2 {
        0 => ("bucketing", "width = \"10\""),
        _ => ("throttling", "min-interval = \"0ms\""),
    };
    let digest = || engine.plugin(stem).map(|plugin| plugin["digest"].clone());
    let before = digest();
    home.deploy(&format!("{stem}.toml"), format!("# {number}\n[settings]\n{settings}\n").as_bytes()).unwrap();
    wait_for("the reload", || digest().filter(|now| Some(now) != before.as_ref())).unwrap();
}

/// Returns the 99.9th percentile.
fn tail(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() * 999 / 1_000]
}
