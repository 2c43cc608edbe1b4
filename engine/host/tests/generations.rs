//! Tests which generation of a plugin calls use while the plugin is replaced, and when the old one is freed.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Place, built, prices, product};
use pricedrop_model::plugin::Plugins;

#[test]
fn a_call_in_progress_keeps_its_generation() {
    let place = Place::new();
    place.put_floor("floor", "10");
    let host = place.host();
    let taken = host.bucketing().unwrap();
    let first = taken.identity().name.clone();
    place.put_hostile("floor", "fine", 1);
    host.reload();
    assert_ne!(host.bucketing().unwrap().identity().name, first);
    assert_eq!(taken.identity().name, first);
    assert_eq!(taken.buckets_of(&product(), &prices(&["100"])).unwrap()[0].0, 10);
}

#[test]
fn a_plugin_outlives_its_host_and_a_dropped_host_frees_everything() {
    let place = Place::new();
    place.put_floor("floor", "10");
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let host = place.host();
    let watching = host.watch().unwrap();
    let taken = host.bucketing().unwrap();
    drop(watching);
    drop(host);
    assert_eq!(taken.buckets_of(&product(), &prices(&["100"])).unwrap()[0].0, 10);
    drop(taken);
    // No engine is left: many hosts do not leave ticker threads running.
    let before = threads();
    for _ in 0..50 {
        drop(place.host());
    }
    common::eventually("their threads end", || threads() <= before + 5);
}

#[test]
fn a_renamed_policy_file_serves_under_its_new_name() {
    let place = Place::new();
    place.put_plugin("old", &built("bucketing-floor"));
    let host = place.host();
    std::fs::rename(place.file("old.wasm"), place.file("new.wasm")).unwrap();
    host.reload();
    assert_eq!(host.status().plugin("new").unwrap().state, pricedrop_model::plugin::State::Active);
    assert_eq!(host.status().warnings, Vec::<String>::new());
}
