//! The console channel, while its plugin is replaced.

use std::collections::BTreeSet;

use pricedrop_harness::{Engine, wait_for};
use serde_json::json;

use crate::support::{home, post, watch};

const CHANNEL: &str = "channel-console";
const USERS: usize = 20;
/// Products that are notified while a new sidecar is loaded.
const PRODUCTS: usize = 10;
const SWAPS: usize = 3;

fn prefix(swap: usize) -> String {
    format!("[{swap}] ")
}

fn sidecar(swap: usize) -> String {
    format!("[settings]\nprefix = \"{}\"\n", prefix(swap))
}

/// Notifies all users of one more product.
fn tell(engine: &Engine, number: usize, expected: &mut BTreeSet<String>) {
    let product = format!("P{number}");
    let users: Vec<String> = (0..USERS).map(|user| format!("u{user}")).collect();
    watch(engine, &product, &users);
    let told = post(engine, &json!({"productId": product, "newPrice": 79}));
    assert_eq!(told, USERS as u64);
    expected.extend(users.iter().map(|user| format!("{user} told about {product}: $79.00 <= $80.00")));
}

#[test]
fn a_channel_swapped_while_it_prints_loses_no_line_and_doubles_none() {
    let (_folder, home) = home(CHANNEL, &sidecar(0));
    let engine = home.start().unwrap();
    let mut expected = BTreeSet::new();
    let mut printed: Vec<String> = Vec::new();
    let mut number = 0;
    let mut next = || {
        number += 1;
        number
    };
    for swap in 0..=SWAPS {
        // Lines are in flight while the new sidecar is loaded.
        home.deploy(&format!("{CHANNEL}.toml"), sidecar(swap).as_bytes()).unwrap();
        for _ in 0..PRODUCTS {
            tell(&engine, next(), &mut expected);
        }
        wait_for("the new prefix to be printed", || {
            tell(&engine, next(), &mut expected);
            printed.extend(engine.take_lines());
            printed.iter().any(|line| line.starts_with(&prefix(swap))).then_some(())
        })
        .unwrap();
    }
    wait_for("all lines", || {
        printed.extend(engine.take_lines());
        let told = printed.iter().filter(|line| line.contains(" told about ")).count();
        (told >= expected.len()).then_some(())
    })
    .unwrap();
    let told: Vec<&str> =
        printed.iter().filter_map(|line| line.split_once("] ").map(|(_, told)| told)).collect();
    let once: BTreeSet<String> = told.iter().map(ToString::to_string).collect();
    assert_eq!(once, expected);
    assert_eq!(told.len(), expected.len(), "a line was doubled");
    println!("{} lines over {SWAPS} swaps, each once", told.len());
}
