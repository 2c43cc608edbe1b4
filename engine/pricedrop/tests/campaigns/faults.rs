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
pub enum Fault {
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
pub const ENGINE_FAULTS: &[Fault] = &[Fault::Kill, Fault::Leave, Fault::Pause];

/// All faults.
pub const ALL_FAULTS: &[Fault] =
    &[Fault::Kafka, Fault::Kill, Fault::Cassandra, Fault::Pause, Fault::Redis, Fault::Leave, Fault::Flush];

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
    pub fn end_of_log(&self, which: usize) -> String {
        self.running.lock().unwrap()[which].end_of_log()
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

    fn inject(&self, dice: &mut Dice, fault: Fault) {
        let which = dice.roll(self.homes.len() as u64) as usize;
        if let Fault::Kill = fault {
            return self.kill(which);
        }
        let mut running = self.running.lock().unwrap();
        match fault {
            Fault::Leave => {
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
pub struct FaultInjector {
    over: Arc<AtomicBool>,
    thread: JoinHandle<(usize, Option<Own>)>,
}

impl FaultInjector {
    /// Starts injecting. Faults of servers need servers of the test's own.
    pub fn start(
        engines: &Engines,
        mut own: Option<Own>,
        faults: &'static [Fault],
        seed: u64,
    ) -> FaultInjector {
        let over = Arc::new(AtomicBool::new(false));
        let (engines, until) = (engines.clone(), over.clone());
        let mut dice = Dice(seed ^ 0x5151);
        let thread = std::thread::spawn(move || {
            let mut injected = 0;
            while injected < faults.len() || !until.load(Ordering::Relaxed) {
                std::thread::park_timeout(Duration::from_millis(300 + dice.roll(2_500)));
                let fault = match faults.get(injected) {
                    Some(fault) => *fault,
                    None => faults[dice.roll(faults.len() as u64) as usize],
                };
                eprintln!("fault {injected}: {fault:?}");
                match (&mut own, fault) {
                    (Some(own), Fault::Kafka) => inject(&mut own.kafka, &mut dice),
                    (Some(own), Fault::Cassandra) => inject(&mut own.cassandra, &mut dice),
                    (Some(own), Fault::Redis) => inject(&mut own.redis, &mut dice),
                    (Some(own), Fault::Flush) => flush(own.redis.address()),
                    (_, fault) => engines.inject(&mut dice, fault),
                }
                injected += 1;
            }
            (injected, own)
        });
        FaultInjector { over, thread }
    }

    /// Stops injecting. Returns the number of faults, and the servers, which end with that value.
    pub fn end(self) -> (usize, Option<Own>) {
        self.over.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        self.thread.join().unwrap()
    }
}

fn inject(server: &mut servers::Own, dice: &mut Dice) {
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
