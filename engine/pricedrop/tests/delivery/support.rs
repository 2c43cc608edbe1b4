//! An engine that really delivers, with short waits between attempts.

use std::fmt::Write as _;

use pricedrop_harness::peers::Peer;
use pricedrop_harness::{Engine, Home, wait_for};
use serde_json::Value;
use tempfile::TempDir;

use crate::providers::Provider;

/// The breaker hardly ever opens, because one failing address must not delay the other
/// addresses of the same server.
const CONFIG: &str = r#"
[http]
listen = "127.0.0.1:0"
[data]
folder = "data"
[plugins]
folder = "plugins"
debounce = "1ms"
[dispatch]
backoff_initial = "20ms"
backoff_max = "100ms"
lease = "1s"
breaker_threshold = 10000
"#;

/// Creates a home with this channel and its sidecar.
pub fn home(channel: &str, sidecar: &str) -> (TempDir, Home) {
    home_with(channel, sidecar, "")
}

/// The same, with more lines of configuration.
pub fn home_with(channel: &str, sidecar: &str, more: &str) -> (TempDir, Home) {
    let folder = tempfile::tempdir().unwrap();
    let config = format!("{CONFIG}{more}");
    let home = Home::create(env!("CARGO_BIN_EXE_pricedrop"), folder.path(), &config).unwrap();
    home.deploy(&format!("{channel}.toml"), sidecar.as_bytes()).unwrap();
    home.install(channel, channel).unwrap();
    (folder, home)
}

impl Provider {
    /// Creates a home with this channel.
    pub fn home(&self) -> (TempDir, Home) {
        let more = self.ca_file().map(|file| format!("ca_file = {file:?}\n")).unwrap_or_default();
        let (folder, mut home) = home_with(self.channel, &self.sidecar, &more);
        home.environment.extend(self.variables());
        (folder, home)
    }
}

/// Adds a user who watches P7 at 80, with this address.
pub fn join(home: &Home, engine: &Engine, user: &str, channel: &str, address: &str) {
    home.run(&["recipient", "add", user, channel, address]).unwrap();
    watch(engine, "P7", &[user]);
}

/// Adds watches of a product at 80.
pub fn watch(engine: &Engine, product: &str, users: &[impl AsRef<str>]) {
    let mut lines = String::new();
    for user in users.iter().map(AsRef::as_ref) {
        let line = serde_json::json!({"productId": product, "userId": user, "priceWatchValue": 80});
        writeln!(lines, "{line}").unwrap();
    }
    engine.request("PUT", "/v1/watches", lines.as_bytes()).unwrap();
}

/// Posts an update, and returns how many users it notified.
pub fn post(engine: &Engine, update: &Value) -> u64 {
    let answer = engine.request("POST", "/v1/prices", update.to_string().as_bytes()).unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    answer["told"].as_u64().unwrap_or_else(|| panic!("{answer}"))
}

/// Waits until the peer has recorded this many requests.
pub fn arrived(peer: &Peer, count: usize) -> Vec<Value> {
    wait_for(&format!("{count} arrivals"), || Some(peer.records()).filter(|all| all.len() >= count)).unwrap()
}

/// Returns all dead letters, once there are this many.
pub fn dead_letters(home: &Home, count: usize) -> Vec<Value> {
    wait_for(&format!("{count} dead letters"), || {
        let listed = home.run(&["dlq", "list", "--limit", "0", "--json"]).unwrap().stdout;
        let listed = String::from_utf8(listed).unwrap();
        let items: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (items.len() >= count).then_some(items)
    })
    .unwrap()
}

/// Returns what a command prints.
pub fn run_cli(home: &Home, arguments: &[&str]) -> String {
    String::from_utf8(home.run(arguments).unwrap().stdout).unwrap()
}

/// Returns the sum of the samples whose line starts with this.
pub fn metric(engine: &Engine, begin: &str) -> u64 {
    let metrics = engine.request("GET", "/metrics", b"").unwrap();
    let mut samples = metrics.lines().filter(|line| line.starts_with(begin)).peekable();
    assert!(samples.peek().is_some(), "{begin}: {metrics}");
    samples.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64).sum()
}
