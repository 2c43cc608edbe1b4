//! `pricedrop-bench against BINARY`: compares this build of `pricedrop-bench` with another one.
//! Both do the same work on the same servers in alternating rounds, so that a temporary slowdown of
//! the machine affects both. Prints the ratios of their speed and of their processor time.
//!
//! Each build runs as a child process that does one round for each line it reads.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pricedrop_kafka::Delivery;

use crate::cluster::processor::own_seconds;
use crate::cluster::rig::{Rig as ClusterRig, Watched};
use crate::cluster::shape::Shape;
use crate::cluster::world::{Addresses, PREFIX, World};
use crate::native;
use crate::rig::{Rig, cents, update};

/// Measured rounds of each build.
const PAIRS: usize = 9;
/// Rounds before the measured ones.
const WARM_UPS: usize = 3;
/// The first argument of a child process.
pub const CHILD: &str = "turn";

const SHAPES: [(&str, Shape); 2] = [("many", Shape::Many), ("one", Shape::One)];

/// Compares the builds on all shapes, embedded and on the servers.
pub fn run(other: &str) {
    let own = std::env::current_exe().unwrap();
    let binaries = [own.to_str().unwrap(), other];
    for (name, shape) in SHAPES {
        compare(&format!("embedded, {}", shape.name()), binaries, &format!("embedded/{name}"));
    }
    let mut world = World::start();
    world.fill();
    for (name, shape) in SHAPES {
        let work = format!("cluster/{name}/{}", world.addresses.to_argument());
        compare(&format!("cluster, {}", shape.name()), binaries, &work);
    }
}

/// The result of one round of one build.
#[derive(Clone, Copy)]
struct Round {
    seconds: f64,
    processor_seconds: f64,
}

fn compare(name: &str, binaries: [&str; 2], work: &str) {
    let mut builds = [Build::start(binaries[0], work, "own"), Build::start(binaries[1], work, "other")];
    let mut pairs = Vec::new();
    for pair in 0..PAIRS {
        // The order alternates, so that neither build is always second.
        let first = pair % 2;
        let one = builds[first].round();
        let two = builds[1 - first].round();
        pairs.push(if first == 0 { [one, two] } else { [two, one] });
    }
    let ratios = |of: fn(&Round) -> f64| {
        let mut ratios: Vec<f64> = pairs.iter().map(|[own, other]| of(own) / of(other)).collect();
        ratios.sort_by(f64::total_cmp);
        ratios
    };
    let speed: Vec<f64> = ratios(|round| 1.0 / round.seconds);
    let processor = ratios(|round| round.processor_seconds);
    println!(
        "  {name}: speed {:.3} ({:.2} to {:.2}), processor time {:.3} ({:.2} to {:.2})",
        speed[PAIRS / 2],
        speed[0],
        speed[PAIRS - 1],
        processor[PAIRS / 2],
        processor[0],
        processor[PAIRS - 1]
    );
}

/// A child process of one build.
struct Build {
    child: Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl Build {
    /// Starts it and runs the warm-up rounds. Each build has its own keys in Redis.
    fn start(binary: &str, work: &str, prefix: &str) -> Build {
        let mut child = Command::new(binary)
            .args([CHILD, work])
            .env(PREFIX, prefix)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        let mut build = Build { child, answers };
        for _ in 0..WARM_UPS {
            build.round();
        }
        build
    }

    fn round(&mut self) -> Round {
        writeln!(self.child.stdin.as_ref().unwrap(), "round").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        let mut numbers = answer.split_whitespace().map(|number| number.parse().unwrap());
        Round { seconds: numbers.next().unwrap(), processor_seconds: numbers.next().unwrap() }
    }
}

impl Drop for Build {
    fn drop(&mut self) {
        self.child.stdin.take();
        let _ = self.child.wait();
    }
}

/// Runs as the child process: one round for each line of standard input.
pub fn child(work: &str) {
    let mut parts = work.splitn(3, '/');
    let (place, shape) = (parts.next().unwrap(), parts.next().unwrap());
    let (_, shape) = SHAPES.into_iter().find(|(name, _)| *name == shape).unwrap();
    match place {
        "embedded" => embedded(shape),
        _ => cluster(&Addresses::from_argument(parts.next().unwrap()), shape),
    }
}

fn cluster(at: &Addresses, shape: Shape) {
    let mut rig = ClusterRig::start(at, Delivery::ExactlyOnce, Watched::Cache, shape);
    serve(|| {
        let time = rig.drop_all();
        rig.settle();
        time
    });
}

fn embedded(shape: Shape) {
    let rig = Rig::start(native::shipped(), 10_000);
    rig.watch(shape.watches());
    let mut price = 9_000;
    serve(|| {
        price -= 1;
        let updates: Vec<_> =
            (0..shape.products()).map(|product| update(shape.number(product), cents(price))).collect();
        let begun = Instant::now();
        rig.post(&updates);
        begun.elapsed()
    });
}

fn serve(mut round: impl FnMut() -> Duration) {
    for _ in std::io::stdin().lines() {
        let before = own_seconds();
        let time = round();
        println!("{} {}", time.as_secs_f64(), own_seconds() - before);
    }
}
