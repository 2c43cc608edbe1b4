//! Tests how the host loads and replaces bucketing policies: staging, the check of a policy's
//! identity, probation, rollback to the last good files, and the cache of compiled code.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::time::Instant;

use common::{Place, buckets, built, fixture, problem, settings};
use pricedrop_host::Host;
use pricedrop_model::plugin::Plugins;
use pricedrop_model::plugin::State;

fn ask(host: &Host, times: u32) -> Vec<i64> {
    (0..times).map(|_| buckets(host, &["100"]).unwrap()[0]).collect()
}

#[test]
fn a_policy_with_another_mapping_is_staged_until_its_buckets_exist() {
    let place = Place::new();
    place.put_floor("floor", "10");
    let host = place.host();
    let first = host.active_policy().unwrap();
    place.put_floor("floor", "20");
    host.reload();
    assert_eq!(ask(&host, 1), [10], "the old mapping serves");
    assert_eq!(host.status().plugin("floor").unwrap().state, State::Staged);
    assert_eq!(host.active_policy(), Some(first.clone()));
    let staged = host.staged_policy().expect("the new one waits");
    assert_ne!(staged.identity().fingerprint, first.fingerprint);

    // After a restart the folder has the new files, but the buckets are those of the old policy.
    let mut options = place.options();
    options.active_policy = Some(first.clone());
    let restarted = options.build().unwrap();
    assert_eq!(ask(&restarted, 1), [10]);
    assert_eq!(restarted.active_policy(), Some(first));

    restarted.set_active_policy(staged.identity().clone());
    assert_eq!(ask(&restarted, 1), [5], "after the migration the new one serves");
    assert_eq!(restarted.status().plugin("floor").unwrap().state, State::Active);
    assert!(restarted.staged_policy().is_none());
}

#[test]
fn a_policy_with_the_same_mapping_swaps_at_once() {
    let place = Place::new();
    place.put_floor("floor", "10");
    let host = place.host();
    let first = host.active_policy().unwrap();
    place.put_hostile("floor", "fine", 1);
    host.reload();
    let second = host.active_policy().unwrap();
    assert_eq!(second.fingerprint, first.fingerprint, "both are floor(price / 10)");
    assert!(second.name.starts_with("hostile@0.1.0+"), "{}", second.name);
    assert_eq!(host.status().plugin("floor").unwrap().state, State::Active);
}

#[test]
fn the_same_identity_with_another_mapping_is_refused() {
    let place = Place::new();
    place.put_floor("floor", "10");
    let mut known = place.host().active_policy().unwrap();
    known.fingerprint = "0".repeat(32);
    let mut options = place.options();
    options.data_dir = None;
    options.active_policy = Some(known);
    let host = options.build().unwrap();
    assert!(host.bucketing().is_none());
    let problem = problem(&host, "floor");
    assert!(problem.contains("under the same identity; raise the version"), "{problem}");
}

#[test]
fn a_plugin_that_fails_on_probation_is_rolled_back_and_not_loaded_again() {
    let place = Place::new();
    place.put_floor("floor", "10");
    let host = place.host();
    place.put_hostile("floor", "trap-at-random", 150);
    host.reload();
    let hostile = || host.status().plugin("floor").unwrap().plugin.as_deref() == Some("hostile@0.1.0");
    assert!(hostile(), "it passed its checks");
    let policy = host.bucketing().unwrap();
    for _ in 0..20_000 {
        if !hostile() {
            break;
        }
        let _ = policy.buckets_of(&common::product(), &common::prices(&["5"]));
    }
    let rolled_back = |host: &Host| {
        let problem = problem(host, "floor");
        assert!(
            problem.contains("rolled back to bucketing-floor@0.1.0")
                || problem.contains("failed in service before"),
            "{problem}"
        );
        assert_eq!(host.status().plugin("floor").unwrap().plugin.as_deref(), Some("bucketing-floor@0.1.0"));
        assert_eq!(ask(host, 3), [10, 10, 10]);
    };
    rolled_back(&host);
    host.reload();
    rolled_back(&host);
    assert_eq!(host.status().plugin("floor").unwrap().counts.rollbacks, 1);
    drop(host);
    let host = place.host();
    rolled_back(&host);
    // Its content changes, so it is tried again.
    place.put_hostile("floor", "fine", 1);
    host.reload();
    assert_eq!(problem(&host, "floor"), "");
    assert_eq!(host.status().plugin("floor").unwrap().plugin.as_deref(), Some("hostile@0.1.0"));
}

#[test]
fn one_breach_of_the_contract_rolls_back() {
    let place = Place::new();
    place.put_floor("floor", "10");
    let host = place.host();
    place.put_hostile("floor", "late-decreasing", 500);
    host.reload();
    let asked = |host: &Host| buckets(host, &["5", "15", "25"]);
    let failed = (0..2_000).find_map(|_| asked(&host).err());
    assert!(failed.unwrap().to_string().contains("lower bucket"));
    assert_eq!(asked(&host).unwrap(), [0, 1, 2], "the one before serves");
    assert!(problem(&host, "floor").contains("rolled back"), "{}", problem(&host, "floor"));
}

#[test]
fn a_breach_seen_by_the_live_audit_rolls_back_too() {
    let place = Place::new();
    place.put_floor("floor", "10");
    let host = place.host();
    place.put_hostile("floor", "fine", 1);
    host.reload();
    host.bucketing().unwrap().report_breach(&common::product(), "3 watches were missing");
    assert!(
        problem(&host, "floor").contains("3 watches were missing; rolled back"),
        "{}",
        problem(&host, "floor")
    );
    assert_eq!(ask(&host, 1), [10]);
}

#[test]
fn a_proven_plugin_is_not_rolled_back_for_an_occasional_trap() {
    let place = Place::new();
    place.put_floor("floor", "10");
    let host = place.host();
    place.put_hostile("floor", "trap-at-random", 5_000);
    host.reload();
    ask(&host, 40_000);
    let status = host.status();
    let floor = status.plugin("floor").unwrap();
    assert_eq!(floor.plugin.as_deref(), Some("hostile@0.1.0"));
    assert!(floor.counts.traps > 3 && !floor.on_probation, "{:?}", floor.counts);
}

#[test]
fn compiled_code_is_reused_unless_it_was_tampered_with() {
    let place = Place::new();
    place.put_plugin("mail", &built("channel-email"));
    drop(place.host());
    let compiled = || {
        let entries = fs::read_dir(place.root().join("data/compiled")).unwrap();
        let files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        assert_eq!(files.len(), 1, "{files:?}");
        files[0].clone()
    };
    let first = fs::read(compiled()).unwrap();
    let cold = Instant::now();
    let mut options = place.options();
    options.data_dir = None;
    drop(options.build().unwrap());
    let cold = cold.elapsed();
    let warm = Instant::now();
    drop(place.host());
    let warm = warm.elapsed();
    assert!(warm < cold, "with compiled code {warm:?}, without {cold:?}");

    let mut tampered = first.clone();
    let middle = tampered.len() / 2;
    tampered[middle] ^= 0xff;
    fs::write(compiled(), &tampered).unwrap();
    let host = place.host();
    assert!(host.channel("mail").is_some());
    assert_eq!(fs::read(compiled()).unwrap(), first, "it was compiled again");
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(place.root().join("data/compiled")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn the_engine_starts_without_a_plugin_that_never_loaded_unless_it_is_configured() {
    let place = Place::new();
    place.put_plugin("hostile", &fixture("hostile"));
    place.put("hostile.toml", settings("short", 1));
    assert!(place.host().bucketing().is_none());
    let mut options = place.options();
    options.bucketing = Some("hostile".into());
    let error = options.build().err().unwrap().to_string();
    assert!(error.contains("exactly one each is required"), "{error}");
}
