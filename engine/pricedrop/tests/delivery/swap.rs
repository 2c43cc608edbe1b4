//! Every shipped channel, replaced again and again while it delivers.

use std::time::{Duration, Instant};

use pricedrop_harness::{Engine, Home, wait_for};
use serde_json::{Value, json};

use crate::providers::{self, Provider, check_each_reached_once, marked};
use crate::support::{dead_letters, join, metric, post, watch};

const USERS: [&str; 6] = ["u0", "u1", "u2", "u3", "u4", "u5"];
const SWAPS: usize = 6;
/// The pause between two products, so that slow servers keep up.
const PAUSE: Duration = Duration::from_millis(20);

/// Defines one test for each channel.
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
    let arrivals = provider.arrivals(&engine, &mut Vec::new(), expected);
    check_each_reached_once(&arrivals, USERS.len(), traffic.products);
}

/// Products whose price drops for every user, one after another.
#[derive(Default)]
struct Traffic {
    products: usize,
    last: Option<Instant>,
}

impl Traffic {
    /// Drops the price of one more product, unless the pause is not over.
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
