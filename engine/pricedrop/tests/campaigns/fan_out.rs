//! A fan-out to many users is interrupted by kills of the engine, and notifies each of them once.

use std::fmt::Write as _;

use pricedrop_harness::wait_for;

use crate::equals_simulate::simulate;
use crate::faults::Engines;
use crate::rig::{Cluster, Servers, with_watches};
use crate::{files, number};

/// Returns many watches of the product `crowd`, and a few of another product.
fn watches(crowd: u64) -> String {
    let mut csv = String::from("product_id,price_watch_value,user_id,mode\n");
    for user in 0..crowd {
        let mode = ["every-drop", "crossing", "once"][(user % 3) as usize];
        writeln!(csv, "crowd,{}.{:02},u{user},{mode}", 100 + user % 50, user % 100).unwrap();
    }
    for user in 0..100 {
        writeln!(csv, "other,{},u{user},every-drop", 100 + user).unwrap();
    }
    csv
}

fn price(product: &str, price: u64, at: usize) -> String {
    let at = files::time_of(at);
    format!(r#"{{"productId":"{product}","newPrice":{price},"occurredAt":{at}}}"#)
}

const DEATHS: u64 = 4;

#[test]
fn a_large_fan_out_notifies_each_watcher_once_although_the_engine_is_killed() {
    let crowd = number("PRICEDROP_TEST_CROWD").unwrap_or(100_000);
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::new(Servers::shared(), folder.path(), "");
    let mut home = cluster.home("one");
    // So many commits that a kill falls between two of them, even on a fast machine.
    let rows = (crowd / 100).to_string();
    home.environment.push(("PRICEDROP_LIMITS__COMMIT_WATCHES".into(), rows));
    std::fs::write(home.folder.join("watches.csv"), watches(crowd)).unwrap();
    let engines = Engines::new(std::slice::from_ref(&home), vec![with_watches(&home)]);
    let mut updates = vec![price("crowd", 99, 0)];
    cluster.send(&updates);
    let written = || cluster.kafka().lag("nobody", &cluster.topic("user_notifications")).unwrap_or(0);
    for death in 1..=DEATHS {
        let enough = (crowd * death / (2 * DEATHS)) as i64;
        wait_for("the crowd to be told", || (written() >= enough).then_some(())).unwrap();
        engines.kill(0);
        assert!(written() < crowd as i64, "it died in the middle");
        // Other products are notified meanwhile.
        let other = price("other", 200 - death * 10, death as usize);
        cluster.send(std::slice::from_ref(&other));
        updates.push(other);
    }
    let expected = simulate(&home, &updates);
    assert!(expected.len() as u64 > crowd);
    let told = cluster.told(expected.len());
    files::assert_same(&told, &expected, "a crowd");
}
