//! Notifications a second: the whole pipeline against a bare producer, exactly once against
//! at least once, and with each source of watches.

use pricedrop_kafka::Delivery;

use super::bare;
use super::processor::Processor;
use super::rig::{PARTITIONS, Rig, Watched};
use super::shape::{Shape, TOLD};
use super::world::{World, say};
use crate::measure::{RUNS, Times, per_second, ratio, report};

const RIGS: [(&str, Delivery, Watched); 4] = [
    ("exactly once, Redis before Cassandra", Delivery::ExactlyOnce, Watched::Cache),
    ("at least once, Redis before Cassandra", Delivery::AtLeastOnce, Watched::Cache),
    ("exactly once, Cassandra alone", Delivery::ExactlyOnce, Watched::Cassandra),
    ("exactly once, watches in memory", Delivery::ExactlyOnce, Watched::Memory),
];

/// Rounds before the measured ones.
const WARM_UPS: usize = 3;

/// The measurements of one contender.
#[derive(Default)]
struct Contender {
    times: Times,
    processor: Processor,
    commits: u64,
    commit_seconds: f64,
}

/// Runs the part.
pub fn run(world: &mut World, shape: Shape) {
    world.fill();
    let at = world.addresses.clone();
    let mut rigs: Vec<Rig> =
        RIGS.iter().map(|(_, delivery, watched)| Rig::start(&at, *delivery, *watched, shape)).collect();
    // The warm-up fills the cache, and lets the broker's JVM compile.
    for rig in &mut rigs {
        for _ in 0..WARM_UPS {
            rig.drop_all();
            rig.settle();
        }
    }
    let settings = tokio::runtime::Runtime::new()
        .unwrap()
        .block_on(at.topics(&format!("bare{}", shape.products()), PARTITIONS));
    let bare = bare::Producer::new(&settings, &rigs[0].settings);
    for _ in 0..WARM_UPS {
        bare.send();
    }
    say("warmed up");
    let mut contenders: Vec<Contender> = (0..=rigs.len()).map(|_| Contender::default()).collect();
    for round in 0..RUNS {
        for turn in 0..contenders.len() {
            // The order rotates, so that no contender always runs after the same other one.
            let turn = (turn + round) % contenders.len();
            let before = Processor::now(world);
            let contender = &mut contenders[turn];
            let time = match turn {
                0 => bare.send(),
                _ => contender.let_run(&mut rigs[turn - 1]),
            };
            contender.times.0.push(time);
            contender.processor.add_between(&before, &Processor::now(world));
            if turn > 0 {
                rigs[turn - 1].settle();
            }
        }
        let seconds = contenders.iter().map(|one| format!("{:.2}", one.times.0[round].as_secs_f64()));
        say(&format!("{}: round {round}: {} s", shape.name(), seconds.collect::<Vec<_>>().join(" ")));
    }
    print(shape, &contenders);
}

impl Contender {
    fn let_run(&mut self, rig: &mut Rig) -> std::time::Duration {
        let count = |rig: &Rig| {
            let metrics = &rig.metrics;
            (metrics.transactions.get(), metrics.transaction_seconds.sum())
        };
        let before = count(rig);
        let time = rig.drop_all();
        let after = count(rig);
        self.commits += after.0 - before.0;
        self.commit_seconds += after.1 - before.1;
        time
    }
}

fn print(shape: Shape, contenders: &[Contender]) {
    let names = ["bare librdkafka producer"].into_iter().chain(RIGS.map(|(name, _, _)| name));
    let bare = &contenders[0].times;
    for (name, one) in names.clone().zip(contenders) {
        let figure =
            format!("{:.0}/s ±{:.0}%", per_second(TOLD, one.times.median()), one.times.spread() * 100.0);
        let against = (!std::ptr::eq(bare, &one.times)).then(|| ratio(&one.times, bare));
        report(&format!("{}: {name}", shape.name()), figure, against);
    }
    let times = |place: usize| &contenders[place].times;
    for (what, of, to) in [
        ("exactly once / at least once", 1, 2),
        ("Redis before Cassandra / Cassandra alone", 1, 3),
        ("Redis before Cassandra / memory", 1, 4),
        ("Cassandra alone / memory", 3, 4),
    ] {
        let name = format!("{}: {what}", shape.name());
        report(&name, String::new(), Some(ratio(times(of), times(to))));
    }
    for (name, one) in names.zip(contenders) {
        println!("    {name}: processor seconds a round: {}", one.processor.each(RUNS));
        if one.commits > 0 {
            println!(
                "      {} commits a round of {:.1} ms each, {:.0} % of the time",
                one.commits / RUNS as u64,
                one.commit_seconds * 1e3 / one.commits as f64,
                one.commit_seconds * 1e2 / one.times.0.iter().map(|t| t.as_secs_f64()).sum::<f64>()
            );
        }
    }
}
