//! Measures every figure that the README quotes. `pricedrop-bench [SECTION ...]` runs sections;
//! the section `cluster` has parts: `pricedrop-bench cluster [PART ...]`.
//! `pricedrop-bench against BINARY` compares this build with another one.

#![allow(clippy::unwrap_used)]

mod cluster;
mod decision;
mod measure;
mod memory;
mod native;
mod plugins;
mod rig;
mod throughput;
mod turns;

const SECTIONS: [(&str, fn()); 4] = [
    ("throughput", throughput::run),
    ("plugins", plugins::run),
    ("decision", decision::run),
    ("memory", memory::run),
];

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    match &asked[..] {
        [name, work] if name == turns::CHILD => return turns::child(work),
        [name, other] if name == "against" => return turns::run(other),
        _ => {}
    }
    for (name, run) in SECTIONS {
        if asked.is_empty() || asked.iter().any(|section| section == name) {
            println!("\n{name}");
            run();
        }
    }
    if asked.is_empty() || asked[0] == "cluster" {
        println!("\ncluster");
        cluster::run(asked.get(1..).unwrap_or_default());
    }
}
