//! Every shipped channel, replaced again and again while it delivers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use pricedrop_harness::{Engine, Home, shipped, wait_for};
use serde_json::{Value, json};

use crate::providers::{self, Provider, key, text};
use crate::support::{dead_letters, join, metric, post, watch};

const USERS: [&str; 6] = ["u0", "u1", "u2", "u3", "u4", "u5"];
const SWAPS: usize = 6;
/// Between two products, so that slow servers keep up.
const PAUSE: Duration = Duration::from_millis(20);

/// One test for each channel.
macro_rules! swapped {
    ($($name:ident: $provider:expr;)*) => {
        $(
            #[test]
            fn $name() {
                reaches_everybody_once_while_it_is_swapped(&$provider);
            }
        )*
    };
}

swapped! {
    console_loses_and_repeats_nothing_while_it_is_swapped: providers::console();
    webhook_loses_and_repeats_nothing_while_it_is_swapped: providers::webhook();
    email_loses_and_repeats_nothing_while_it_is_swapped: providers::email();
    slack_loses_and_repeats_nothing_while_it_is_swapped: providers::slack();
    ntfy_loses_and_repeats_nothing_while_it_is_swapped: providers::ntfy();
    sms_loses_and_repeats_nothing_while_it_is_swapped: providers::sms();
    fcm_loses_and_repeats_nothing_while_it_is_swapped: providers::fcm();
    apns_loses_and_repeats_nothing_while_it_is_swapped: providers::apns();
    webpush_loses_and_repeats_nothing_while_it_is_swapped: providers::webpush(&USERS);
}

fn reaches_everybody_once_while_it_is_swapped(provider: &Provider) {
    let (_folder, home) = provider.home();
    let engine = home.start().unwrap();
    for user in USERS {
        join(&home, &engine, user, provider.channel, &provider.address(user));
    }
    let mut traffic = Traffic::default();
    for number in 0..SWAPS {
        swap(provider, &home, &engine, number, &mut traffic);
    }
    let expected = traffic.products * USERS.len();
    let channel = provider.channel;
    let delivered = format!("pricedrop_deliveries_total{{channel=\"{channel}\",outcome=\"delivered\"}}");
    wait_for("all confirmations", || (metric(&engine, &delivered) == expected as u64).then_some(())).unwrap();
    assert_eq!(dead_letters(&home, 0), [] as [Value; 0]);
    check(&wait_for_arrivals(provider, &engine, expected), traffic.products);
}

/// Products whose price drops for every user, one after another.
#[derive(Default)]
struct Traffic {
    products: usize,
    last: Option<Instant>,
}

impl Traffic {
    /// One product more, unless the last one was just now.
    fn send_next(&mut self, engine: &Engine) {
        if self.last.is_some_and(|last| last.elapsed() < PAUSE) {
            return;
        }
        let product = format!("S{}", self.products);
        watch(engine, &product, &USERS);
        let told = post(engine, &json!({"productId": product, "newPrice": 79}));
        assert_eq!(told, USERS.len() as u64);
        self.products += 1;
        self.last = Some(Instant::now());
    }
}

/// Replaces the sidecar and the plugin in turn, and sends until the new files serve.
fn swap(provider: &Provider, home: &Home, engine: &Engine, number: usize, traffic: &mut Traffic) {
    let channel = provider.channel;
    let digest = || engine.plugin(channel).map(|plugin| plugin["digest"].clone());
    let before = digest();
    assert!(before.as_ref().is_some_and(Value::is_string), "{channel} serves: {before:?}");
    let deployed = match number % 2 {
        0 => home.deploy(&format!("{channel}.toml"), format!("# {number}\n{}", provider.sidecar).as_bytes()),
        _ => home.deploy(&format!("{channel}.wasm"), &marked(channel, number)),
    };
    deployed.unwrap();
    wait_for("the new files to serve", || {
        traffic.send_next(engine);
        digest().filter(|now| Some(now) != before.as_ref())
    })
    .unwrap();
}

/// The plugin as it is shipped, with a custom section that makes it another file.
fn marked(channel: &str, number: usize) -> Vec<u8> {
    let name = format!("swap{number}");
    let length = u8::try_from(name.len()).unwrap();
    let mut wasm = std::fs::read(shipped(channel)).unwrap();
    wasm.extend([0, length + 1, length]);
    wasm.extend(name.as_bytes());
    wasm
}

/// Whom each message reached, and what no other message has.
type Arrival = (String, String);

fn wait_for_arrivals(provider: &Provider, engine: &Engine, count: usize) -> Vec<Arrival> {
    let mut lines = Vec::new();
    wait_for(&format!("{count} arrivals"), || {
        lines.extend(engine.take_lines());
        let arrivals: Vec<Arrival> = match &provider.peer {
            Some(peer) => peer.records().iter().filter_map(|record| arrival(provider, record)).collect(),
            None => printed(&lines),
        };
        (arrivals.len() >= count).then_some(arrivals)
    })
    .unwrap()
}

/// None: a request for a token.
fn arrival(provider: &Provider, record: &Value) -> Option<Arrival> {
    if record["path"] == "/token" {
        return None;
    }
    let mark = match record["headers"].as_array() {
        Some(headers) => text(&headers.iter().find(|header| header[0] == "Message-ID").unwrap()[1]),
        None => key(record),
    };
    Some((provider.addressee(record), mark))
}

/// A line names user and product, and no product drops twice.
fn printed(lines: &[String]) -> Vec<Arrival> {
    let told = lines.iter().filter_map(|line| Some((line.split_once(" told about ")?.0, line)));
    told.map(|(user, line)| (user.to_owned(), line.clone())).collect()
}

/// Every user was reached once for each product.
fn check(arrivals: &[Arrival], products: usize) {
    assert_eq!(arrivals.len(), products * USERS.len(), "messages");
    let marks: BTreeSet<&String> = arrivals.iter().map(|(_, mark)| mark).collect();
    assert_eq!(marks.len(), arrivals.len(), "no message has the key of another");
    let mut counts: BTreeMap<&String, usize> = BTreeMap::new();
    for (who, _) in arrivals {
        *counts.entry(who).or_default() += 1;
    }
    assert_eq!(counts.len(), USERS.len(), "{counts:?}");
    assert!(counts.values().all(|count| *count == products), "{products} products: {counts:?}");
}
