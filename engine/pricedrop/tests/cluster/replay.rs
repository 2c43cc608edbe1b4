//! Lost topics are rebuilt from the archive, and no user is notified twice; deliveries that a
//! provider lost are sent once more on request.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Stdio;

use pricedrop_harness::kafka::Kafka;
use pricedrop_harness::{Engine, Home, wait_for};
use serde_json::json;

use crate::archive::{archived, home, reader, setting};
use crate::providers::text;
use crate::running::{metric, post};
use crate::support::{Setting, run_cli};

const USERS: usize = 12;
const PRODUCTS: usize = 3;
/// Drops, and rises that arm the crossing watches again.
const PRICES: [&str; 6] = ["95", "79", "59", "85", "70", "40"];

/// Returns the threshold and the mode of a user.
fn watch(user: usize) -> (u32, &'static str) {
    (if user.is_multiple_of(3) { 60 } else { 80 }, ["every-drop", "crossing"][user % 2])
}

/// An engine whose topics are archived, with its watches and recipients.
struct Shop {
    setting: Setting,
    home: Home,
    kafka: Kafka,
    _folder: tempfile::TempDir,
}

impl Shop {
    fn new() -> Shop {
        let setting = setting().with("[stream]\nstart = \"earliest\"\n[rules]\nfirst_price = \"notify\"\n");
        let (folder, home) = home(&setting);
        let kafka = Kafka { bootstrap: setting.kafka.clone() };
        Shop { setting, home, kafka, _folder: folder }
    }

    fn topic(&self, name: &str) -> String {
        format!("{}.{name}", self.setting.name)
    }

    fn product(&self, number: usize) -> String {
        format!("{}-P{number}", self.setting.name)
    }

    fn start(&self) -> Engine {
        let engine = self.home.start().unwrap();
        engine.wait_until_notifying().unwrap();
        engine.wait_until_dispatching().unwrap();
        engine
    }

    /// Notifies users of every mode of every product. Returns the deliveries.
    fn tell_everybody(&self, engine: &Engine) -> Vec<String> {
        let mut watches = String::new();
        for product in 0..PRODUCTS {
            for user in 0..USERS {
                let (threshold, mode) = watch(user);
                let watch = json!({
                    "productId": self.product(product), "userId": format!("u{user}"),
                    "priceWatchValue": threshold, "mode": mode,
                });
                writeln!(watches, "{watch}").unwrap();
            }
        }
        engine.request("PUT", "/v1/watches", watches.as_bytes()).unwrap();
        for price in PRICES {
            for product in 0..PRODUCTS {
                let update = json!({"productId": self.product(product), "newPrice": price});
                post(engine, &update.to_string());
            }
        }
        let lines = self.everything_delivered(engine);
        assert!(lines.len() > USERS * PRODUCTS, "{} lines", lines.len());
        lines
    }

    /// Waits until notifier and dispatcher have read everything, and nothing is in flight.
    fn everything_delivered(&self, engine: &Engine) -> Vec<String> {
        let unread = || {
            let of = |group: &str, topic: &str| self.kafka.unread(group, &self.topic(topic)).unwrap();
            of("pricedrop", "prices") + of("pricedrop.dispatcher", "told")
        };
        let open = || {
            metric(engine, "pricedrop_deliveries_in_flight{") + metric(engine, "pricedrop_retries_waiting{")
        };
        wait_for("everything to be delivered", || (unread() == 0 && open() == 0.0).then_some(())).unwrap();
        engine.take_lines()
    }

    /// Waits until the archive holds as many records of a topic as the topic does.
    fn wait_until_archived(&self, topic: &str) -> usize {
        let topic = self.topic(topic);
        let records = self.kafka.records(&topic).unwrap().len();
        let reader = reader(&self.setting);
        let complete = || (archived(&reader, &topic).len() == records).then_some(());
        wait_for("the topic to be archived", complete).unwrap();
        records
    }

    fn stop(&self, mut engine: Engine) {
        engine.signal("TERM").unwrap();
        engine.wait().unwrap();
    }

    /// Deletes and recreates a topic, as an operator might by mistake.
    fn delete_and_make_anew(&self, topic: &str) {
        self.kafka.delete_topic(&self.topic(topic)).unwrap();
        self.home.run(&["topics", "apply"]).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> String {
        let report = run_cli(&self.setting, &self.home, arguments);
        assert!(report.contains("exit code 0"), "{report}");
        report
    }
}

#[test]
fn a_rebuilt_topic_of_updates_notifies_nobody_twice() {
    let shop = Shop::new();
    let engine = shop.start();
    shop.tell_everybody(&engine);
    let records = shop.wait_until_archived("prices");
    shop.stop(engine);

    shop.delete_and_make_anew("prices");
    let dry = shop.run(&["replay", "--topic", "updates"]);
    assert!(dry.contains(&format!("NAME.prices: {records} records")), "{dry}");
    assert!(dry.contains("nothing was published"), "{dry}");
    assert_eq!(shop.kafka.records(&shop.topic("prices")).unwrap().len(), 0);
    let report = shop.run(&["replay", "--topic", "updates", "--publish"]);
    assert!(report.contains(&format!("published {records} records")), "{report}");
    let report = shop.run(&["replay", "--topic", "updates", "--publish"]);
    assert!(report.contains("published 0 records"), "{report}");
    shop.run(&["offsets", "set", "--at", "earliest"]);

    let engine = shop.start();
    assert_eq!(shop.everything_delivered(&engine), [] as [String; 0], "told twice");
}

#[test]
fn a_rebuilt_topic_of_notifications_delivers_nothing_twice() {
    let shop = Shop::new();
    let engine = shop.start();
    shop.tell_everybody(&engine);
    let records = shop.wait_until_archived("told");
    shop.stop(engine);

    shop.delete_and_make_anew("told");
    let report = shop.run(&["replay", "--topic", "notifications", "--publish"]);
    assert!(report.contains(&format!("published {records} records")), "{report}");
    assert!(report.contains(&format!("to {USERS} users")), "{report}");
    let engine = shop.start();
    assert_eq!(shop.everything_delivered(&engine), [] as [String; 0], "delivered twice");
}

/// Simulated with the current watches, the archive gives the notifications of the engine.
#[test]
fn simulate_over_the_archive_prints_what_the_running_engine_notified() {
    let shop = Shop::new();
    let engine = shop.start();
    let live = shop.tell_everybody(&engine);
    shop.wait_until_archived("prices");
    let mut watches = String::from("product_id,price_watch_value,user_id,mode\n");
    for product in 0..PRODUCTS {
        for user in 0..USERS {
            let (threshold, mode) = watch(user);
            writeln!(watches, "{},{threshold},u{user},{mode}", shop.product(product)).unwrap();
        }
    }
    std::fs::write(shop.home.folder.join("watches.csv"), watches).unwrap();
    let output = shop.home.run(&["replay", "--topic", "updates", "--simulate", "watches.csv"]).unwrap();
    let mut simulated: Vec<(String, String, String)> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|it| (text(&it["userId"]), text(&it["productId"]), it["newPrice"].to_string()))
        .collect();
    let parse = |line: &String| {
        let (user, rest) = line.split_once(" told about ").unwrap();
        let (product, price) = rest.split_once(": $").unwrap();
        let price = price.split([' ', ',']).next().unwrap().trim_end_matches(".00");
        (user.to_owned(), product.to_owned(), price.to_owned())
    };
    let mut told: Vec<(String, String, String)> = live.iter().map(parse).collect();
    simulated.sort();
    told.sort();
    assert_eq!(simulated, told);
}

/// Returns how often each user was notified of each product.
fn counted(lines: &[String]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for line in lines {
        *counts.entry(line.split(": ").next().unwrap()).or_default() += 1;
    }
    counts
}

#[test]
fn selected_deliveries_are_repeated_exactly_once_although_the_command_is_interrupted() {
    let shop = Shop::new();
    let engine = shop.start();
    let first = shop.tell_everybody(&engine);
    shop.wait_until_archived("told");
    let product = shop.product(1);
    let chosen =
        ["replay", "--topic", "notifications", "--product", &product, "--publish", "--again", "night"];
    let mut interrupted = shop.home.command(&[&chosen[..], &["--rate", "5"]].concat());
    let mut process = interrupted.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let topic = shop.topic("told");
    let before = first.len();
    let some = || (shop.kafka.records(&topic).unwrap().len() > before + 2).then_some(());
    wait_for("some to be published", some).unwrap();
    process.kill().unwrap();
    process.wait().unwrap();
    for _ in 0..2 {
        shop.run(&chosen);
    }
    let again = shop.everything_delivered(&engine);
    let of_product: Vec<String> = first.into_iter().filter(|line| line.contains(&product)).collect();
    assert_eq!(counted(&again), counted(&of_product));
    // Another name for `--again` sends them another time.
    shop.run(&["replay", "--topic", "notifications", "--user", "u1", "--publish", "--again", "another"]);
    let of_user = shop.everything_delivered(&engine);
    assert!(
        !of_user.is_empty() && of_user.iter().all(|line| line.starts_with("u1 told about")),
        "{of_user:?}"
    );
}
