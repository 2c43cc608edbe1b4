//! With exactly the permissions that the documents list, everything works.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pricedrop_harness::{Engine, Home, wait_for};
use serde_json::Value;

use crate::rig::{self, Who, run_cli, servers};

fn told(home: &Home) -> Vec<Value> {
    let output = home.run(&["notifications", "list", "--json", "--limit", "0"]).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Returns the number of notifications of a product.
fn of(home: &Home, product: &str) -> usize {
    told(home).iter().filter(|one| one["productId"] == product).count()
}

fn post(engine: &Engine, product: &str, price: &str) {
    let body = format!(r#"{{"productId":"{product}","newPrice":{price}}}"#);
    engine.request("POST", "/v1/prices", body.as_bytes()).unwrap();
}

#[test]
fn with_the_documented_rights_all_of_the_engine_works() {
    let servers = servers();
    let _policy = policy();
    let (folder, home) = servers.home(&Who::default());
    home.install("bucketing-floor", "bucketing-floor").unwrap();
    let doctor = run_cli(&home, &["doctor"]);
    assert!(doctor.contains("exit code 0") && doctor.contains("doctor: it works"), "{doctor}");
    assert!(!doctor.contains("is not allowed") && !doctor.contains("our role may not"), "{doctor}");
    let engine = home.start().unwrap();
    engine.wait_until_notifying().unwrap();
    engine.wait_until_dispatching().unwrap();
    home.run(&["watch", "add", "whole", "80", "u1"]).unwrap();
    home.run(&["watch", "add", "whole", "80", "u2", "--mode", "once"]).unwrap();
    home.run(&["recipient", "add", "u1", "channel-console", "u1@example.com"]).unwrap();
    post(&engine, "whole", "79.9");
    wait_for("both to be told", || (of(&home, "whole") == 2).then_some(())).unwrap();
    wait_for("the console to tell", || engine.take_lines().into_iter().next()).unwrap();
    let watches = || home.run(&["watch", "list", "whole", "--json"]).unwrap().stdout;
    wait_for("the told once-watch to be removed", || {
        (String::from_utf8(watches()).unwrap().lines().count() == 1).then_some(())
    })
    .unwrap();
    engine.request("POST", "/v1/prices", br#"{"productId":"whole","newPrice":"dear"}"#).unwrap();
    wait_for("the dead letter", || {
        let listed = home.run(&["dlq", "list", "--json"]).unwrap().stdout;
        String::from_utf8(listed).unwrap().contains("dear").then_some(())
    })
    .unwrap();
    home.run(&["watch", "remove", "whole", "80", "u1"]).unwrap();
    home.run(&["recipient", "remove", "u1", "channel-console", "u1@example.com"]).unwrap();
    home.run(&["buckets", "repair", "whole"]).unwrap();
    home.run(&["dlq", "replay", "--all"]).unwrap();
    home.run(&["topics", "check"]).unwrap();
    wait_for("the price to be shown", || {
        (servers.admin().rows("pricedrop.product_prices").ok()? > 0).then_some(())
    })
    .unwrap();
    drop(engine);
    // The engine goes on after some refusals, and only its log shows that there was one.
    let log = rig::log(folder.path());
    assert!(!log.to_lowercase().contains("authoriz") && !log.contains("refuses"), "{log}");
}

/// Locks the active policy: tests with a policy run one by one, because it is shared.
fn policy() -> MutexGuard<'static, ()> {
    static POLICY: Mutex<()> = Mutex::new(());
    POLICY.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn a_notifier_alone_works_with_grants_that_only_read() {
    let servers = servers();
    let _policy = policy();
    // This notifier may not write the policy, so none of another test may be stored.
    servers.admin().run("TRUNCATE pricedrop.bucketing_policies").unwrap();
    let product = "read-only";
    servers
        .admin()
        .run(&format!(
            "INSERT INTO pricedrop.price_watch_alerts (product_id, price_watch_value, user_id) VALUES ('{product}', 80, 'u1')"
        ))
        .unwrap();
    let who = Who { kafka: "notifier", cassandra: "pricedrop_notifier", ..Who::default() };
    let (folder, home) = servers.home(&who);
    home.install("bucketing-floor", "bucketing-floor").unwrap();
    let doctor = run_cli(&home, &["doctor", "--role", "notifier"]);
    assert!(doctor.contains("exit code 0") && doctor.contains("our role may not change it"), "{doctor}");
    let engine = home.start_with(&["--role", "notifier"]).unwrap();
    engine.wait_until_notifying().unwrap();
    // Another user posts the prices, because this one may not.
    let (_folder, other) = servers.home(&Who::default());
    let posting = other.start_with(&["--role", "dispatcher"]).unwrap();
    post(&posting, product, "79.9");
    wait_for("the user to be told", || (of(&other, product) == 1).then_some(())).unwrap();
    post(&posting, product, "69.9");
    wait_for("the user to be told again", || (of(&other, product) == 2).then_some(())).unwrap();
    let refused = run_cli(&home, &["watch", "add", product, "80", "u2"]);
    assert!(refused.contains("refuses this user the table price_watch_alerts"), "{refused}");
    let ready = engine.request("GET", "/readyz", b"").unwrap();
    assert!(ready.contains("\"ready\":true"), "{ready}");
    drop(engine);
    // The log is the promise here: it has a line for each missing grant, and not one for each attempt.
    let log = rig::log(folder.path());
    let policy = log.lines().filter(|line| line.contains("the active policy could not be stored")).count();
    assert_eq!(policy, 1, "logged once: {log}");
    let prices = log.lines().filter(|line| line.contains("product_prices")).count();
    assert_eq!(prices, 1, "logged once: {log}");
}
