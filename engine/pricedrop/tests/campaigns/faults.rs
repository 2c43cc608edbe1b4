//! Faults that are injected into engines and servers while they work.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use pricedrop_harness::{Engine, Home, servers, wait_for};

use crate::files::Dice;
use crate::rig::Own;

/// A fault.
#[derive(Debug, Clone, Copy)]
pub enum Blow {
    /// Kills an engine with SIGKILL, and starts it again.
    Kill,
    /// Stops an engine in order, and starts it again.
    Leave,
    /// Suspends an engine past its session timeout, and continues it.
    Pause,
    /// Kills or stops Kafka, and starts it again.
    Kafka,
    /// Kills or stops Cassandra, and starts it again.
    Cassandra,
    /// Kills or stops Redis, and starts it again.
    Redis,
    /// Deletes all keys of Redis.
    Flush,
}

/// The faults of engines.
pub const TO_ENGINES: &[Blow] = &[Blow::Kill, Blow::Leave, Blow::Pause];

/// All faults.
pub const ALL: &[Blow] =
    &[Blow::Kafka, Blow::Kill, Blow::Cassandra, Blow::Pause, Blow::Redis, Blow::Leave, Blow::Flush];

/// Running engines into which faults are injected.
#[derive(Clone)]
pub struct Engines {
    homes: Vec<Home>,
    running: Arc<Mutex<Vec<Engine>>>,
}

impl Engines {
    /// Returns the running engines of these homes.
    pub fn new(homes: &[Home], running: Vec<Engine>) -> Engines {
        Engines { homes: homes.to_vec(), running: Arc::new(Mutex::new(running)) }
    }

    /// Returns the address of an engine's API.
    pub fn address(&self, which: usize) -> String {
        self.running.lock().unwrap()[which].address.clone()
    }

    /// Returns the end of an engine's log.
    pub fn last_words(&self, which: usize) -> String {
        self.running.lock().unwrap()[which].last_words()
    }

    /// Kills an engine, and starts it again.
    pub fn kill(&self, which: usize) {
        let mut running = self.running.lock().unwrap();
        running[which].kill().unwrap();
        running[which] = self.start(which);
    }

    /// Starts an engine as a supervisor would: again and again until it runs.
    fn start(&self, which: usize) -> Engine {
        wait_for("an engine that starts", || self.homes[which].launch().ok()).unwrap()
    }

    fn strike(&self, dice: &mut Dice, blow: Blow) {
        let which = dice.roll(self.homes.len() as u64) as usize;
        if let Blow::Kill = blow {
            return self.kill(which);
        }
        let mut running = self.running.lock().unwrap();
        match blow {
            Blow::Leave => {
                running[which].signal("TERM").unwrap();
                running[which].wait().unwrap();
                running[which] = self.start(which);
            }
            _ => {
                running[which].signal("STOP").unwrap();
                std::thread::park_timeout(Duration::from_millis(7_000 + dice.roll(3_000)));
                running[which].signal("CONT").unwrap();
            }
        }
    }
}

/// A thread that injects faults until it is stopped, each fault of the list at least once.
pub struct Striker {
    over: Arc<AtomicBool>,
    thread: JoinHandle<(usize, Option<Own>)>,
}

impl Striker {
    /// Starts injecting. Faults of servers need servers of the test's own.
    pub fn start(engines: &Engines, mut own: Option<Own>, blows: &'static [Blow], seed: u64) -> Striker {
        let over = Arc::new(AtomicBool::new(false));
        let (engines, until) = (engines.clone(), over.clone());
        let mut dice = Dice(seed ^ 0x5151);
        let thread = std::thread::spawn(move || {
            let mut struck = 0;
            while struck < blows.len() || !until.load(Ordering::Relaxed) {
                std::thread::park_timeout(Duration::from_millis(300 + dice.roll(2_500)));
                let blow = match blows.get(struck) {
                    Some(blow) => *blow,
                    None => blows[dice.roll(blows.len() as u64) as usize],
                };
                eprintln!("blow {struck}: {blow:?}");
                match (&mut own, blow) {
                    (Some(own), Blow::Kafka) => strike(&mut own.kafka, &mut dice),
                    (Some(own), Blow::Cassandra) => strike(&mut own.cassandra, &mut dice),
                    (Some(own), Blow::Redis) => strike(&mut own.redis, &mut dice),
                    (Some(own), Blow::Flush) => flush(own.redis.address()),
                    (_, blow) => engines.strike(&mut dice, blow),
                }
                struck += 1;
            }
            (struck, own)
        });
        Striker { over, thread }
    }

    /// Stops injecting. Returns the number of faults, and the servers, which end with that value.
    pub fn end(self) -> (usize, Option<Own>) {
        self.over.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        self.thread.join().unwrap()
    }
}

fn strike(server: &mut servers::Own, dice: &mut Dice) {
    match dice.roll(2) {
        0 => server.kill().unwrap(),
        _ => server.stop().unwrap(),
    }
    std::thread::park_timeout(Duration::from_millis(dice.roll(3_000)));
    server.start().unwrap();
}

fn flush(redis: &str) {
    let mut connection = TcpStream::connect(redis).unwrap();
    connection.write_all(b"FLUSHALL\r\n").unwrap();
    let mut answer = [0; 5];
    connection.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"+OK\r\n");
}
