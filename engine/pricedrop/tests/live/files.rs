//! Helpers of the live tests: files of watches and updates, changes of watches in an engine that
//! may die at any moment, and reading the notifications.

use std::fmt::Write as _;
use std::path::Path;

use pricedrop_harness::{Engine, Error, Home, request};
use serde_json::Value;

/// A configuration without the console, because the tests compare the outbox.
pub const CONFIG: &str = r#"
[http]
listen = "127.0.0.1:0"
max_body = "64MiB"
[data]
folder = "data"
[plugins]
folder = "plugins"
[bucketing]
bucket_threshold = 40
[dispatch]
enabled = false
"#;

/// Creates a home with the default policies.
pub fn home(folder: &Path) -> Home {
    home_with(folder, CONFIG)
}

/// The same, with another configuration.
pub fn home_with(folder: &Path, config: &str) -> Home {
    let home = Home::create(env!("CARGO_BIN_EXE_pricedrop"), folder, config).unwrap();
    home.install("bucketing-floor", "bucketing").unwrap();
    home.install("throttling-coalesce", "throttling").unwrap();
    home
}

/// A pseudo-random generator. Tests print its seed, so that a failure can be repeated.
pub struct Dice(pub u64);

impl Dice {
    /// Returns a number below `sides` (xorshift64).
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// The size of a run.
#[derive(Clone, Copy)]
pub struct Size {
    pub products: u64,
    pub watches: u64,
    pub updates: u64,
}

/// The modes of watches; the empty one means the default.
pub const MODES: [&str; 4] = ["", "every-drop", "crossing", "once"];

/// Returns watches in all modes, with thresholds around the prices of `updates`.
pub fn watches(dice: &mut Dice, size: Size) -> String {
    let mut seen = std::collections::HashSet::new();
    let mut csv = String::from("product_id,price_watch_value,user_id,mode\n");
    while (seen.len() as u64) < size.watches {
        let (product, cents, user) = (dice.roll(size.products), 5_000 + dice.roll(4_000), dice.roll(5_000));
        if seen.insert((product, cents, user)) {
            let mode = MODES[dice.roll(4) as usize];
            writeln!(csv, "P{product},{}.{:02},u{user},{mode}", cents / 100, cents % 100).unwrap();
        }
    }
    csv
}

/// Returns the event time of an update, epoch milliseconds. A change of watches gets a time between
/// those of two updates.
pub fn time_of(update: usize) -> i64 {
    1_700_000_000_000 + update as i64 * 1_000
}

/// Returns updates, one JSON object a line, one second apart.
pub fn updates(dice: &mut Dice, size: Size) -> Vec<String> {
    let update = |index: u64| {
        let (product, cents) = (dice.roll(size.products), 4_900 + dice.roll(43) * 100);
        let (price, at) = (format!("{}.{:02}", cents / 100, cents % 100), time_of(index as usize));
        format!(r#"{{"productId":"P{product}","newPrice":{price},"occurredAt":{at}}}"#)
    };
    (0..size.updates).map(update).collect()
}

/// Adds and removes a few watches. Returns the changes as lines for `simulate`, in the place
/// where they were acknowledged: every later drop must use them. `request_until_answered` repeats a request
/// until there is a response.
pub fn change_watches(
    dice: &mut Dice,
    size: Size,
    sent: usize,
    most: u64,
    mut request_until_answered: impl FnMut(&str, &str, &str),
) -> Vec<String> {
    let mut script = Vec::new();
    for change in 0..dice.roll(most) {
        let (product, cents, user) = (dice.roll(size.products), 5_000 + dice.roll(40) * 100, dice.roll(300));
        let price = format!("{}.{:02}", cents / 100, cents % 100);
        let at = time_of(sent) - 500 + change as i64;
        let key = format!(r#""productId":"P{product}","userId":"c{user}","priceWatchValue":{price}"#);
        if dice.roll(4) == 0 {
            request_until_answered(
                "DELETE",
                &format!("/v1/watches?product=P{product}&user=c{user}&price={price}"),
                "",
            );
            script.push(format!(r#"{{"watch":"delete",{key},"at":{at}}}"#));
        } else {
            let mode = MODES[1 + dice.roll(3) as usize];
            let watch = format!(r#"{key},"mode":"{mode}""#);
            request_until_answered("PUT", "/v1/watches", &format!("{{{watch}}}"));
            script.push(format!(r#"{{"watch":"put",{watch},"at":{at}}}"#));
        }
    }
    script
}

/// Returns the notifications of `simulate`, in order of their ids.
pub fn simulated(home: &Home) -> Vec<String> {
    let output = home.run(&["simulate", "--watches", "watches.csv", "--updates", "updates.jsonl", "--stats"]);
    let output = output.unwrap();
    eprintln!("simulate: {}", String::from_utf8_lossy(&output.stderr).trim());
    sorted(std::str::from_utf8(&output.stdout).unwrap().lines())
}

fn sorted<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut lines: Vec<String> = lines.map(str::to_owned).collect();
    lines.sort();
    lines
}

/// Returns the whole outbox, in order of the lines.
pub fn told(engine: &Engine) -> Vec<String> {
    let (mut from, mut lines) = (0, Vec::new());
    loop {
        let page = engine.request("GET", &format!("/v1/notifications?from={from}&limit=1000"), b"").unwrap();
        let count = page.lines().count();
        lines.extend(page.lines().map(str::to_owned));
        from += count;
        if count == 0 {
            lines.sort();
            return lines;
        }
    }
}

/// Fails with the first differences, instead of both lists.
pub fn assert_same(live: &[String], simulated: &[String], what: &str) {
    let missing: Vec<_> = simulated.iter().filter(|line| live.binary_search(line).is_err()).take(3).collect();
    let extra: Vec<_> = live.iter().filter(|line| simulated.binary_search(line).is_err()).take(3).collect();
    assert!(
        live == simulated,
        "{what}: told {} live, {} by simulate; missing: {missing:#?}; too many: {extra:#?}",
        live.len(),
        simulated.len()
    );
}

/// Sends one request; an error means that it may have to be repeated.
pub fn post(address: &str, updates: &[String], offset: usize) -> Result<Value, Error> {
    let path = format!("/v1/prices?offset={offset}");
    Ok(serde_json::from_str(&request(address, "POST", &path, updates.join("\n").as_bytes())?)?)
}
