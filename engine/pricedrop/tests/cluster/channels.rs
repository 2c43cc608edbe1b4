//! Every shipped channel over Kafka and Redis, replaced while it delivers.

use std::fmt::Write as _;

use pricedrop_harness::{Engine, Home, wait_for};
use serde_json::json;
use tempfile::TempDir;

use crate::providers::{self, Provider, authorities, check_each_reached_once, marked};
use crate::running::{metric, notifications, post};
use crate::support::Setting;

const USERS: [&str; 4] = ["u0", "u1", "u2", "u3"];
const SWAPS: usize = 4;
const DISPATCH: &str = r#"
[dispatch]
backoff_initial = "20ms"
backoff_max = "100ms"
lease = "5s"
breaker_threshold = 10000
"#;

fn all_channels() -> Vec<Provider> {
    vec![
        providers::console(),
        providers::webhook(),
        providers::email(),
        providers::slack(),
        providers::ntfy(),
        providers::sms(),
        providers::fcm(),
        providers::apns(),
        providers::webpush(&USERS),
    ]
}

/// Returns a unique user id: all tests of the keyspace share its recipients.
fn user_id(setting: &Setting, channel: &str, user: &str) -> String {
    format!("{}-{channel}-{user}", setting.name)
}

/// Creates a home with all channels.
fn home_of(setting: &Setting, providers: &[Provider]) -> (TempDir, Home) {
    let setting = setting.with(&format!("{DISPATCH}ca_file = {:?}\n", authorities(providers))).prepared();
    let (folder, mut home) = setting.home();
    for provider in providers {
        home.deploy(&format!("{}.toml", provider.channel), provider.sidecar.as_bytes()).unwrap();
        home.install(provider.channel, provider.channel).unwrap();
        home.environment.extend(provider.variables());
    }
    (folder, home)
}

/// Imports the address of every user of every channel.
fn join(setting: &Setting, home: &Home, providers: &[Provider]) {
    let mut writer = csv::Writer::from_path(home.folder.join("recipients.csv")).unwrap();
    writer.write_record(["user_id", "channel", "address"]).unwrap();
    for provider in providers {
        for user in USERS {
            let user_id = user_id(setting, provider.channel, user);
            writer.write_record([user_id, provider.channel.into(), provider.address(user)]).unwrap();
        }
    }
    writer.flush().unwrap();
    home.run(&["recipient", "import", "recipients.csv"]).unwrap();
}

/// Adds one product that all users watch, and drops its price.
fn drop_price(setting: &Setting, engine: &Engine, providers: &[Provider], number: usize) {
    let product = format!("{}-P{number}", setting.name);
    let mut watches = String::new();
    for provider in providers {
        for user in USERS {
            let user_id = user_id(setting, provider.channel, user);
            let watch = json!({"productId": product, "userId": user_id, "priceWatchValue": 80});
            writeln!(watches, "{watch}").unwrap();
        }
    }
    engine.request("PUT", "/v1/watches", watches.as_bytes()).unwrap();
    post(engine, &json!({"productId": product, "newPrice": 79}).to_string());
}

/// Returns the digest of every channel, if all of them serve.
fn digests(engine: &Engine, providers: &[Provider]) -> Option<Vec<String>> {
    providers.iter().map(|it| engine.plugin(it.channel)?["digest"].as_str().map(str::to_owned)).collect()
}

/// Replaces the sidecars or the plugins of all channels, in turn.
fn deploy(home: &Home, providers: &[Provider], number: usize) {
    for Provider { channel, sidecar, .. } in providers {
        let deployed = match number % 2 {
            0 => home.deploy(&format!("{channel}.toml"), format!("# {number}\n{sidecar}").as_bytes()),
            _ => home.deploy(&format!("{channel}.wasm"), &marked(channel, number)),
        };
        deployed.unwrap();
    }
}

#[test]
fn every_channel_reaches_everybody_once_from_kafka_through_leases_in_redis_while_it_is_swapped() {
    let providers = all_channels();
    let setting = Setting::new();
    let (_folder, home) = home_of(&setting, &providers);
    let engine = home.start().unwrap();
    engine.wait_until_notifying().unwrap();
    engine.wait_until_dispatching().unwrap();
    join(&setting, &home, &providers);
    let mut products = 0;
    for number in 0..SWAPS {
        let before = digests(&engine, &providers).unwrap();
        deploy(&home, &providers, number);
        wait_for("the new files to serve", || {
            drop_price(&setting, &engine, &providers, products);
            products += 1;
            let now = digests(&engine, &providers)?;
            before.iter().zip(&now).all(|(before, now)| before != now).then_some(())
        })
        .unwrap();
    }
    let mut lines = Vec::new();
    for provider in &providers {
        let arrivals = provider.arrivals(&engine, &mut lines, products * USERS.len());
        check_each_reached_once(&arrivals, USERS.len(), products);
    }
    let open =
        || metric(&engine, "pricedrop_deliveries_in_flight{") + metric(&engine, "pricedrop_retries_waiting{");
    wait_for("nothing to be in flight or waiting", || (open() == 0.0).then_some(())).unwrap();
    assert_eq!(notifications(&home).len(), products * USERS.len() * providers.len());
    let dead = String::from_utf8(home.run(&["dlq", "list", "--json"]).unwrap().stdout).unwrap();
    assert_eq!(dead, "");
}
