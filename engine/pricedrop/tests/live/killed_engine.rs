//! An engine that is killed and started again while it works.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pricedrop_harness::{Engine, Home, wait_for};

use crate::files::Dice;

/// An engine that another thread kills at random moments.
pub struct KilledEngine {
    pub home: Home,
    pub engine: Arc<Mutex<Engine>>,
    sent: Arc<AtomicUsize>,
}

impl KilledEngine {
    pub fn new(home: Home, engine: Engine) -> KilledEngine {
        KilledEngine { home, engine: Arc::new(Mutex::new(engine)), sent: Arc::default() }
    }

    /// Records how many updates were acknowledged.
    pub fn record_sent(&self, updates: usize) {
        self.sent.store(updates, Relaxed);
    }

    fn address(&self) -> String {
        self.engine.lock().unwrap().address.clone()
    }

    /// Repeats a request until the engine, or its successor, responds.
    pub fn request_until_answered(&self, mut ask: impl FnMut(&str) -> Result<(), pricedrop_harness::Error>) {
        let begun = Instant::now();
        loop {
            match ask(&self.address()) {
                Ok(()) => return,
                Err(error) => {
                    let patient = begun.elapsed() < Duration::from_secs(60);
                    let words = || self.engine.lock().unwrap().end_of_log();
                    assert!(patient, "no answer for a minute: {error}; its log ends with: {}", words());
                }
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// Kills and restarts the engine when certain numbers of updates are acknowledged, each time after
    /// another random moment: between requests, during one, during the start.
    pub fn kill_now_and_then(&self, seed: u64, kills: usize, updates: u64) -> JoinHandle<()> {
        let (engine, home, sent) = (self.engine.clone(), self.home.clone(), self.sent.clone());
        let mut dice = Dice(seed ^ 0xFFFF_0000);
        let mut moments: Vec<usize> = (0..kills).map(|_| dice.roll(updates - 500) as usize).collect();
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
}
