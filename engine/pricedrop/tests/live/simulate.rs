//! `pricedrop simulate` prints the same with every policy, and reports invalid files clearly.

use std::path::Path;
use std::process::Output;

use crate::files::{self, Dice, Size};
use pricedrop_harness::{Home, shipped};

const SIZE: Size = Size { products: 50, watches: 20_000, updates: 5_000 };

fn home(folder: &Path) -> Home {
    Home::create(env!("CARGO_BIN_EXE_pricedrop"), folder, "").unwrap()
}

fn simulate(home: &Home, more: &[&str]) -> Output {
    let files = ["simulate", "--watches", "watches.csv", "--updates", "updates.jsonl", "--stats"];
    home.command(&[&files[..], more].concat()).output().unwrap()
}

#[test]
fn every_valid_policy_prints_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let home = home(folder.path());
    let mut dice = Dice(0xB0C5);
    std::fs::write(folder.path().join("watches.csv"), files::watches(&mut dice, SIZE)).unwrap();
    std::fs::write(folder.path().join("updates.jsonl"), files::updates(&mut dice, SIZE).join("\n")).unwrap();
    let plain = simulate(&home, &[]);
    let lines = plain.stdout.iter().filter(|byte| **byte == b'\n').count();
    assert!(lines > 100_000, "{lines} notifications are too few to tell policies apart");
    for policy in ["bucketing-floor", "bucketing-log", "bucketing-js"] {
        let plugins = folder.path().join(policy);
        std::fs::create_dir(&plugins).unwrap();
        std::fs::copy(shipped(policy), plugins.join("policy.wasm")).unwrap();
        let bucketed = simulate(&home, &["--plugins", policy]);
        let stats = String::from_utf8_lossy(&bucketed.stderr);
        assert!(stats.contains("reads by bucket"), "{policy} was not used: {stats}");
        assert!(bucketed.stdout == plain.stdout, "{policy} prints otherwise");
    }
}

#[test]
fn a_wrong_file_of_watches_is_an_error_that_names_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let home = home(folder.path());
    std::fs::write(folder.path().join("updates.jsonl"), "").unwrap();
    let header = "product_id,price_watch_value,user_id,mode\n";
    for (watches, reason) in [
        (format!("{header}P1,80,u1,\nP1,80,u2,sometimes\n"), "line 3: mode \"sometimes\""),
        (format!("{header}P1,1e99,u1,\n"), "line 2: price_watch_value \"1e99\": too large"),
        (
            format!("{header}P1,80,u1,\nP1,80.0,u1,once\n"),
            "line 3: the watch P1, 80, u1 appears a second time",
        ),
        ("P1,80,u1\n".to_owned(), "line 1: the header"),
        (
            "product_id,price_watch_value,user_id,modes\n".to_owned(),
            "line 1: the column \"modes\" is unknown",
        ),
    ] {
        std::fs::write(folder.path().join("watches.csv"), watches).unwrap();
        let output = simulate(&home, &[]);
        let report = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && report.contains(reason), "{reason}: {report}");
    }
}

#[test]
fn unreadable_updates_are_named_by_line_and_the_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let home = home(folder.path());
    let updates = "{\"productId\":\"P1\",\"newPrice\":90}\n\noops\n{\"productId\":\"P1\",\"newPrice\":70}\n";
    std::fs::write(folder.path().join("watches.csv"), "product_id,price_watch_value,user_id\nP1,80,u1\n")
        .unwrap();
    std::fs::write(folder.path().join("updates.jsonl"), updates).unwrap();
    let output = simulate(&home, &[]);
    let (told, report) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && told.lines().count() == 1, "{told}");
    assert!(told.starts_with(r#"{"userId":"u1","productId":"P1","newPrice":70,"id":""#), "{told}");
    assert!(report.contains("line 3: ") && report.contains("dead 1"), "{report}");
}
