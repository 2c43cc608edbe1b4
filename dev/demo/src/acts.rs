//! The acts of the demo, in order.

use std::path::PathBuf;
use std::sync::Mutex;
use std::thread::JoinHandle;

use pricedrop_harness::{Engine, Error, Home, repository, request, wait_for};
use serde_json::Value;

use crate::market;
use crate::stage::Stage;

const UPDATES: usize = 4_000;
/// Updates in a request.
const BATCH: usize = 50;

/// Runs the whole demo.
pub fn play(binary: PathBuf) -> Result<(), Error> {
    let folder = tempfile::tempdir()?;
    let mut stage = Stage::open("a price goes in, the right users are notified");
    let updates = market::updates(UPDATES);
    let home = create_home(binary, folder.path(), &updates)?;

    stage.act("Start the engine: no config needed, no server, a folder for its state");
    let engine = home.start()?;
    stage.say(&format!("listening on http://{}, ready after {:.1} s", engine.address, stage.seconds()));

    stage.act("Import watches");
    let imported = home.run(&["watch", "import", "watches.csv", "--url", &engine.url()])?;
    stage.say(String::from_utf8_lossy(&imported.stdout).trim());

    stage.act("Prices move, and users are notified");
    let feed = Feed::new(&updates);
    let posted = feed.post(&engine.address, UPDATES / 4)?;
    show_told(&stage, &engine, posted, 6)?;

    swap_policy(&mut stage, &home, &engine, &feed)?;
    swap_channel(&mut stage, &home, &engine, &feed)?;
    break_plugin(&mut stage, &home, &engine, &feed)?;
    let engine = crash(&mut stage, &home, engine, &feed)?;
    settle_up(&mut stage, &home, &engine, &feed)?;
    Ok(())
}

/// Creates a folder as a user would have it: configuration, plugins, data.
fn create_home(binary: PathBuf, folder: &std::path::Path, updates: &[String]) -> Result<Home, Error> {
    let home = Home::create(binary, folder, CONFIG)?;
    home.install("bucketing-floor", "bucketing")?;
    home.install("throttling-coalesce", "throttling")?;
    home.install("channel-console", "channel-console")?;
    std::fs::write(folder.join("watches.csv"), market::watches())?;
    std::fs::write(folder.join("updates.jsonl"), updates.join("\n"))?;
    Ok(home)
}

/// What the demo needs besides the defaults: a free port, and buckets for small products.
const CONFIG: &str = r#"
[http]
listen = "127.0.0.1:0"
[data]
folder = "data"
[plugins]
folder = "plugins"
[bucketing]
bucket_threshold = 100
"#;

/// The updates, and how many of them were posted.
struct Feed {
    updates: Vec<String>,
    sent: Mutex<usize>,
}

impl Feed {
    fn new(updates: &[String]) -> std::sync::Arc<Feed> {
        std::sync::Arc::new(Feed { updates: updates.to_vec(), sent: Mutex::new(0) })
    }

    /// Posts the next updates. Returns how many users they notified. `offset` makes a repeated
    /// request safe: the engine skips the updates that it has already.
    fn post(&self, address: &str, count: usize) -> Result<u64, Error> {
        let mut sent = self.sent.lock().unwrap_or_else(|poison| poison.into_inner());
        let mut told = 0;
        let end = (*sent + count).min(self.updates.len());
        while *sent < end {
            let upto = (*sent + BATCH).min(end);
            let body = self.updates[*sent..upto].join("\n");
            let answer = request(address, "POST", &format!("/v1/prices?offset={sent}"), body.as_bytes())?;
            let answer: Value = serde_json::from_str(&answer)?;
            told += answer["told"].as_u64().unwrap_or(0);
            *sent = upto;
        }
        Ok(told)
    }

    /// Posts the next updates on another thread.
    fn post_aside(
        self: &std::sync::Arc<Feed>,
        engine: &Engine,
        count: usize,
    ) -> JoinHandle<Result<u64, Error>> {
        let (feed, address) = (self.clone(), engine.address.clone());
        std::thread::spawn(move || feed.post(&address, count))
    }
}

fn join(posting: JoinHandle<Result<u64, Error>>) -> Result<u64, Error> {
    posting.join().map_err(|_| "the thread that posts panicked")?
}

/// Waits until the console has printed every notification, and shows some of them.
fn show_told(stage: &Stage, engine: &Engine, posted: u64, shown: usize) -> Result<(), Error> {
    let mut lines = Vec::new();
    wait_for("the last line", || {
        lines.extend(engine.take_lines());
        (lines.len() as u64 >= posted).then_some(())
    })?;
    stage.told(&lines, shown);
    Ok(())
}

fn swap_policy(
    stage: &mut Stage,
    home: &Home,
    engine: &Engine,
    feed: &std::sync::Arc<Feed>,
) -> Result<(), Error> {
    stage.act("Swap the bucketing policy under traffic: Rust out, JavaScript in");
    let posting = feed.post_aside(engine, UPDATES / 8);
    home.install("bucketing-js", "bucketing")?;
    let id = wait_for("the new policy", || {
        engine.plugin("bucketing").filter(|plugin| text(&plugin["plugin"]).starts_with("bucketing-js"))
    })?;
    let posted = join(posting)?;
    stage.say(&format!(
        "{} serves now; it cuts the same buckets, so the swap was immediate",
        text(&id["plugin"])
    ));
    show_told(stage, engine, posted, 2)
}

fn swap_channel(
    stage: &mut Stage,
    home: &Home,
    engine: &Engine,
    feed: &std::sync::Arc<Feed>,
) -> Result<(), Error> {
    stage.act("Swap a channel under traffic: its settings are a file beside it");
    let before = engine.plugin("channel-console").map(|plugin| plugin["digest"].clone());
    home.deploy("channel-console.toml", b"[settings]\nprefix = \"[demo shop] \"\n")?;
    wait_for("the channel with its settings", || {
        let now = engine.plugin("channel-console").map(|plugin| plugin["digest"].clone());
        (now != before).then_some(())
    })?;
    let posted = feed.post(&engine.address, UPDATES / 8)?;
    show_told(stage, engine, posted, 3)
}

fn break_plugin(
    stage: &mut Stage,
    home: &Home,
    engine: &Engine,
    feed: &std::sync::Arc<Feed>,
) -> Result<(), Error> {
    stage.act("Deploy a broken policy: refused, the old one serves on");
    let fixture = repository().join("engine/host/tests/fixtures/hostile.wasm");
    home.deploy("bucketing.toml", b"[settings]\nbehaviour = \"decreasing\"\n")?;
    home.deploy("bucketing.wasm", &std::fs::read(fixture)?)?;
    let refused = wait_for("the refusal", || {
        let plugin = engine.plugin("bucketing")?;
        let problem = text(&plugin["problem"]).to_owned();
        problem.contains("wasm").then_some((problem, text(&plugin["plugin"]).to_owned()))
    })?;
    stage.refused(&refused.0);
    let posted = feed.post(&engine.address, UPDATES / 8)?;
    stage.say(&format!("{} continues:", refused.1));
    show_told(stage, engine, posted, 2)?;
    // Removes the broken files, as the author of the plugin would.
    std::fs::remove_file(home.folder.join("plugins/bucketing.toml"))?;
    home.install("bucketing-floor", "bucketing")
}

fn crash(
    stage: &mut Stage,
    home: &Home,
    mut engine: Engine,
    feed: &std::sync::Arc<Feed>,
) -> Result<Engine, Error> {
    stage.act("kill -9 in the middle of it, and start again");
    let before = *feed.sent.lock().unwrap_or_else(|poison| poison.into_inner());
    let posting = feed.post_aside(&engine, UPDATES);
    wait_for("some more updates to be in", || {
        let (address, path) = (&engine.address, "/v1/notifications?from=0&limit=1");
        request(address, "GET", path, b"").ok().filter(|_| !engine.take_lines().is_empty())
    })?;
    engine.kill()?;
    let cut_off = join(posting).err().map_or("nothing was cut off".into(), |error| error.to_string());
    stage.say(&format!("killed; the poster saw: {}", cut_off.lines().next().unwrap_or_default()));
    let engine = home.start()?;
    let told = feed.post(&engine.address, UPDATES)?;
    stage.say(&format!(
        "restarted; it sent its last request again with the same offset, and all after update {before} are in: {told} told since"
    ));
    Ok(engine)
}

/// Compares the notifications with those of `pricedrop simulate`.
fn settle_up(stage: &mut Stage, home: &Home, engine: &Engine, feed: &Feed) -> Result<(), Error> {
    stage.act("Compare: the notifications with those of `pricedrop simulate` over the same two files");
    let live = home.run(&["notifications", "list", "--limit", "0", "--json", "--url", &engine.url()])?;
    let simulated = home.run(&[
        "simulate",
        "--watches",
        "watches.csv",
        "--updates",
        "updates.jsonl",
        "--plugins",
        "plugins",
    ])?;
    let (live, simulated) = (ids(&live.stdout)?, ids(&simulated.stdout)?);
    let verdict = if live == simulated { "the same, to the id" } else { "NOT the same" };
    stage.say(&format!("{} updates, {} watches", feed.updates.len(), market::WATCHES));
    stage.say(&format!(
        "notifications of the engine: {}, of simulate: {}: {verdict}",
        live.len(),
        simulated.len()
    ));
    if live != simulated {
        return Err("the live engine and its simulated disagree".into());
    }
    stage.say(&format!("\n{:.0} s in all. What to try next:", stage.seconds()));
    stage.say(NEXT);
    Ok(())
}

const NEXT: &str = "\
make run                              the engine itself, on http://127.0.0.1:8080
pricedrop simulate --help             backtest a policy on your own prices
plugins/examples/bucketing-js         a bucket policy of ten lines
README.md                             the rest";

/// Returns the ids of all notifications, sorted: a repeated or missing one makes a difference.
fn ids(lines: &[u8]) -> Result<Vec<String>, Error> {
    let mut ids = Vec::new();
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let notification: Value = serde_json::from_slice(line)?;
        ids.push(notification["id"].as_str().ok_or("a notification without an id")?.to_owned());
    }
    ids.sort();
    Ok(ids)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
