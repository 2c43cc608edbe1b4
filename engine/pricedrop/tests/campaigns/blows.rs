//! What is done to engines and servers while they work.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use pricedrop_harness::{Engine, Home, servers, wait_for};

use crate::files::Dice;
use crate::rig::Own;

/// One of them.
#[derive(Debug, Clone, Copy)]
pub enum Blow {
    /// An engine: `kill -9`, and a new start.
    Kill,
    /// An engine: a stop in order, and a new start.
    Leave,
    /// An engine: stopped past its session, and continued.
    Pause,
    /// Kafka: killed or stopped, and a new start.
    Kafka,
    /// Cassandra, the same.
    Cassandra,
    /// Redis, the same.
    Redis,
    /// Redis forgets everything.
    Flush,
}

/// All that only engines suffer.
pub const TO_ENGINES: &[Blow] = &[Blow::Kill, Blow::Leave, Blow::Pause];

/// Everything.
pub const ALL: &[Blow] =
    &[Blow::Kafka, Blow::Kill, Blow::Cassandra, Blow::Pause, Blow::Redis, Blow::Leave, Blow::Flush];

/// Engines that somebody strikes.
#[derive(Clone)]
pub struct Engines {
    homes: Vec<Home>,
    running: Arc<Mutex<Vec<Engine>>>,
}

impl Engines {
    /// Those of these homes; they run already.
    pub fn new(homes: &[Home], running: Vec<Engine>) -> Engines {
        Engines { homes: homes.to_vec(), running: Arc::new(Mutex::new(running)) }
    }

    /// Where one of them listens.
    pub fn address(&self, which: usize) -> String {
        self.running.lock().unwrap()[which].address.clone()
    }

    /// What one of them said last.
    pub fn last_words(&self, which: usize) -> String {
        self.running.lock().unwrap()[which].last_words()
    }

    /// Kills one, and starts it again.
    pub fn kill(&self, which: usize) {
        let mut running = self.running.lock().unwrap();
        running[which].kill().unwrap();
        running[which] = self.start(which);
    }

    /// As whoever supervises it would: until it starts.
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

/// Strikes until it is told that all is over, with each blow of the list at
/// least once.
pub struct Striker {
    over: Arc<AtomicBool>,
    thread: JoinHandle<(usize, Option<Own>)>,
}

impl Striker {
    /// Begins; blows to servers need servers of the test's own.
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

    /// How many blows there were; the servers end with the second.
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
