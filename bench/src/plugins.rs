//! Policies in WASM against the same rules in native Rust.

use std::sync::Arc;

use bytes::Bytes;
use pricedrop_model::plugin::{NoPlugins, Plugins};
use pricedrop_model::{Mode, Price, ProductId};

use crate::measure::{median, per_second, report};
use crate::native;
use crate::rig::{Rig, cents, update, watch};

const UPDATES: usize = 100_000;
const PRODUCTS: usize = 1_000;

/// Runs the section.
pub fn run() {
    calls();
    let engines: [(&str, Arc<dyn Plugins>); 3] = [
        ("native policies", Arc::new(native::Native)),
        ("no policies", Arc::new(NoPlugins)),
        ("WASM policies", native::shipped()),
    ];
    let mut baseline = None;
    for (name, plugins) in engines {
        let rig = Rig::start(plugins, 10);
        rig.watch(
            (0..PRODUCTS * 20).map(|index| {
                watch(index / 20, cents(5_000 + (index % 20) as i64 * 100), index, Mode::Crossing)
            }),
        );
        let updates: Vec<Bytes> = (0..UPDATES).map(moving).collect();
        let time = median(|| rig.post(&updates));
        let baseline = *baseline.get_or_insert(time);
        let ratio = baseline.as_secs_f64() / time.as_secs_f64();
        report(
            &format!("engine with {name}"),
            format!("{:.0} updates/s", per_second(UPDATES, time)),
            Some(ratio),
        );
    }
}

/// Returns a price that moves up and down, each time across some thresholds.
fn moving(index: usize) -> Bytes {
    let round = (index / PRODUCTS) as i64;
    update(index % PRODUCTS, cents(if round % 2 == 0 { 6_950 } else { 6_350 - round }))
}

/// Measures calls of `bucket-of` alone.
fn calls() {
    let product = ProductId::new("P7").unwrap();
    let wasm = native::shipped().bucketing().unwrap();
    let native = native::Native.bucketing().unwrap();
    for batch in [1usize, 100, 10_000] {
        let prices: Vec<Price> = (0..batch).map(|index| cents(index as i64 * 7)).collect();
        let rounds = 2_000_000 / (batch + 20);
        let nanos = |policy: &Arc<dyn pricedrop_model::plugin::Bucketing>| {
            let time = median(|| {
                for _ in 0..rounds {
                    std::hint::black_box(policy.buckets_of(&product, &prices).unwrap());
                }
            });
            time.as_nanos() as f64 / rounds as f64
        };
        let (native, wasm) = (nanos(&native), nanos(&wasm));
        let figure = format!("{:.1} ns a price", wasm / batch as f64);
        report(&format!("bucket-of, {batch} prices a call, WASM"), figure, Some(wasm / native));
    }
}
