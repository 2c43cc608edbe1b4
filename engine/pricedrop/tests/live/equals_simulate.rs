//! The running engine tells exactly what its offline twin prints, whatever is
//! done to its process.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::files::{self, Dice, Size};
use pricedrop_harness::{Engine, Home, request, wait_for};

const SIZE: Size = Size { products: 1_000, watches: 50_000, updates: 20_000 };

#[test]
fn the_outbox_holds_what_simulate_prints() {
    let folder = tempfile::tempdir().unwrap();
    let home = files::home(folder.path());
    let mut dice = Dice(0xA11CE);
    let updates = files::updates(&mut dice, SIZE);
    std::fs::write(folder.path().join("watches.csv"), files::watches(&mut dice, SIZE)).unwrap();
    std::fs::write(folder.path().join("updates.jsonl"), updates.join("\n")).unwrap();
    let engine = home.start().unwrap();
    home.run(&["watch", "import", "watches.csv", "--url", &engine.url()]).unwrap();

    let begun = Instant::now();
    for (index, batch) in updates.chunks(500).enumerate() {
        files::post(&engine.address, batch, index * 500).unwrap();
    }
    let seconds = begun.elapsed().as_secs_f64();

    let told = files::told(&engine);
    eprintln!("live: {} updates, {} notifications, {seconds:.2} s", updates.len(), told.len());
    files::assert_same(&told, &files::simulated(&home), "undisturbed");
}

const KILLS: u64 = 50;

/// An engine that somebody else kills now and then.
struct Mortal {
    home: Home,
    engine: Arc<Mutex<Engine>>,
}

impl Mortal {
    fn address(&self) -> String {
        self.engine.lock().unwrap().address.clone()
    }

    /// Asks until the engine, or the one after it, has answered.
    fn insist(&self, mut ask: impl FnMut(&str) -> Result<(), pricedrop_harness::Error>) {
        let begun = Instant::now();
        loop {
            match ask(&self.address()) {
                Ok(()) => return,
                Err(error) => {
                    let patient = begun.elapsed() < Duration::from_secs(60);
                    let words = || self.engine.lock().unwrap().last_words();
                    assert!(patient, "no answer for a minute: {error}; the engine said: {}", words());
                }
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }
}

#[test]
fn fifty_kills_while_watches_come_and_go_lose_nothing_and_repeat_nothing() {
    let seed = std::env::var("PRICEDROP_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0xDEAD);
    eprintln!("PRICEDROP_TEST_SEED={seed}");
    let mut dice = Dice(seed);
    let folder = tempfile::tempdir().unwrap();
    let home = files::home(folder.path());
    let updates = files::updates(&mut dice, SIZE);
    std::fs::write(folder.path().join("watches.csv"), files::watches(&mut dice, SIZE)).unwrap();
    let engine = home.start().unwrap();
    home.run(&["watch", "import", "watches.csv", "--url", &engine.url()]).unwrap();
    let mortal = Mortal { home, engine: Arc::new(Mutex::new(engine)) };

    let sent_so_far = Arc::new(AtomicUsize::new(0));
    let killer = kill_now_and_then(&mortal, seed, &sent_so_far);

    // What stands in the twin's file: updates, and watch changes where the live
    // engine had acknowledged them.
    let mut script = Vec::new();
    let mut sent = 0;
    while sent < updates.len() {
        script.extend(files::change_watches(&mut dice, SIZE, sent, 3, |method, path, body| {
            mortal.insist(|address| request(address, method, path, body.as_bytes()).map(|_| ()));
        }));
        let upto = (sent + 1 + dice.roll(60) as usize).min(updates.len());
        mortal.insist(|address| files::post(address, &updates[sent..upto], sent).map(|_| ()));
        script.extend_from_slice(&updates[sent..upto]);
        sent = upto;
        sent_so_far.store(sent, Relaxed);
    }
    killer.join().unwrap();

    std::fs::write(folder.path().join("updates.jsonl"), script.join("\n")).unwrap();
    let mut engine = mortal.engine.lock().unwrap();
    engine.wait_until_ready().unwrap();
    let told = files::told(&engine);
    eprintln!("{KILLS} kills, {} lines, {} notifications", script.len(), told.len());
    files::assert_same(&told, &files::simulated(&mortal.home), &format!("seed {seed}"));
}

/// Kills and restarts it when so many updates are in, each time after a random
/// moment more: between requests, within one, while it starts.
fn kill_now_and_then(mortal: &Mortal, seed: u64, sent: &Arc<AtomicUsize>) -> std::thread::JoinHandle<()> {
    let (engine, home, sent) = (mortal.engine.clone(), mortal.home.clone(), sent.clone());
    let mut dice = Dice(seed ^ 0xFFFF_0000);
    let mut moments: Vec<usize> = (0..KILLS).map(|_| dice.roll(SIZE.updates - 500) as usize).collect();
    moments.sort();
    std::thread::spawn(move || {
        for moment in moments {
            wait_for("the updates to go on", || (sent.load(Relaxed) >= moment).then_some(())).unwrap();
            std::thread::park_timeout(Duration::from_micros(dice.roll(20_000)));
            let mut engine = engine.lock().unwrap();
            engine.kill().unwrap();
            *engine = home.launch().unwrap();
        }
    })
}
