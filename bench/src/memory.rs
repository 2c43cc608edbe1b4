//! Memory and disk space per watch and per product.

use pricedrop_model::Mode;

use crate::measure::report;
use crate::native;
use crate::rig::{Rig, cents, update, watch};

const WATCHES: usize = 1_000_000;
const PRODUCTS: usize = 100_000;

/// Runs the section.
pub fn run() {
    let rig = Rig::start(native::shipped(), 10_000);
    let empty = resident();
    rig.watch(
        (0..WATCHES)
            .map(|index| watch(index % PRODUCTS, cents(10_000 + (index % 7) as i64), index, Mode::Crossing)),
    );
    let watched = resident();
    let disk = rig.store.disk_bytes().unwrap();
    report("resident, a watch", format!("{:.1} bytes", (watched - empty) as f64 / WATCHES as f64), None);
    report("on disk, a watch", format!("{:.1} bytes", disk as f64 / WATCHES as f64), None);
    let updates: Vec<_> = (0..PRODUCTS).map(|product| update(product, cents(20_000))).collect();
    rig.post(&updates);
    let evaluated = resident();
    report(
        "resident, a product",
        format!("{:.1} bytes", (evaluated - watched) as f64 / PRODUCTS as f64),
        None,
    );
    report("resident in all", format!("{:.0} MiB", evaluated as f64 / f64::from(1 << 20)), None);
}

/// Returns the resident memory of this process, in bytes. It may shrink.
fn resident() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<i64>().unwrap() * 1024
}
