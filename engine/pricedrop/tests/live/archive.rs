//! The archive of the embedded engine is complete and exactly once, even if the engine is killed.

use std::path::Path;

use pricedrop_archive::{Bucket, Line, Options, Reader, Source};
use pricedrop_harness::{Engine, Home, wait_for};
use pricedrop_model::archive::ArchivedRecord;
use serde_json::Value;

use crate::files::{self, Dice, Size};
use crate::killed_engine::KilledEngine;

const SIZE: Size = Size { products: 200, watches: 5_000, updates: 4_000 };
/// How often the engine is killed; more in `make test-faults`.
const KILLS: usize = 10;
/// One in this many lines is not an update.
const JUNK: usize = 50;

fn kills() -> usize {
    std::env::var("PRICEDROP_TEST_KILLS").map_or(KILLS, |text| text.parse().unwrap())
}

fn home(folder: &Path) -> Home {
    let archive = format!(
        "[archive]\nurl = \"file://{}\"\nmax_object_size = \"4KiB\"\nmax_object_age = \"200ms\"\n",
        folder.join("archive").display()
    );
    files::home_with(folder, &format!("{}{archive}", files::CONFIG))
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(work)
}

/// Returns everything that is archived of a topic; checks that nothing is damaged or missing.
fn archived(folder: &Path, topic: &str) -> Vec<ArchivedRecord> {
    let options = Options {
        url: format!("file://{}", folder.join("archive").display()),
        endpoint: None,
        region: None,
        access_key: None,
    };
    let bucket = Bucket::open(&options, pricedrop_outbound::trusting_client(None).unwrap()).unwrap();
    let reader = run(Reader::open(bucket, None)).unwrap();
    let (_, links, findings) = run(reader.links(&Source { topic: topic.into(), partition: 0 })).unwrap();
    assert_eq!(findings, []);
    let mut records = Vec::new();
    for link in &links {
        let see = |line| match line {
            Line::Record(record) => records.push(record),
            gap => panic!("{topic} has {gap:?}"),
        };
        assert_eq!(run(reader.read(link, see)).unwrap(), None);
    }
    assert!(records.iter().map(|record| record.offset).eq(0..records.len() as i64), "{topic}");
    records
}

fn values(records: &[ArchivedRecord]) -> Vec<String> {
    let value = |record: &ArchivedRecord| String::from_utf8(record.value.clone().unwrap().to_vec()).unwrap();
    records.iter().map(value).collect()
}

/// Waits until this many records of a topic are archived.
fn wait_until_archived(engine: &Engine, topic: &str, records: usize) {
    let offset = format!("pricedrop_archive_offset{{topic=\"{topic}\",partition=\"0\"}} ");
    wait_for(&format!("{records} records of {topic} to be archived"), || {
        let metrics = engine.request("GET", "/metrics", b"").ok()?;
        let value = metrics.lines().find_map(|line| line.strip_prefix(&offset))?;
        (value.parse() == Ok(records as f64)).then_some(())
    })
    .unwrap();
}

fn dead_letters(engine: &Engine) -> usize {
    let listed = engine.request("GET", "/v1/dlq?limit=1000", b"").unwrap();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    listed["deadLetters"].as_array().unwrap().len()
}

#[test]
fn the_archive_of_the_embedded_engine_equals_its_log_although_it_is_killed() {
    let seed = std::env::var("PRICEDROP_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0xA5C1);
    eprintln!("PRICEDROP_TEST_SEED={seed}");
    let mut dice = Dice(seed);
    let folder = tempfile::tempdir().unwrap();
    let home = home(folder.path());
    let mut updates = files::updates(&mut dice, SIZE);
    updates.iter_mut().step_by(JUNK).for_each(|update| *update = format!("no update: {update}"));
    std::fs::write(folder.path().join("watches.csv"), files::watches(&mut dice, SIZE)).unwrap();
    let engine = home.start().unwrap();
    home.run(&["watch", "import", "watches.csv", "--url", &engine.url()]).unwrap();
    let killed_engine = KilledEngine::new(home, engine);
    let killer = killed_engine.kill_now_and_then(seed, kills(), SIZE.updates);
    let mut sent = 0;
    while sent < updates.len() {
        let upto = (sent + 1 + dice.roll(60) as usize).min(updates.len());
        killed_engine
            .request_until_answered(|address| files::post(address, &updates[sent..upto], sent).map(|_| ()));
        sent = upto;
        killed_engine.record_sent(sent);
    }
    killer.join().unwrap();
    let mut engine = killed_engine.engine.lock().unwrap();
    engine.wait_until_ready().unwrap();
    let told = files::told(&engine);
    let dead = dead_letters(&engine);
    assert_eq!(dead, updates.len().div_ceil(JUNK));
    wait_until_archived(&engine, "price_updates", updates.len());
    wait_until_archived(&engine, "user_notifications", told.len());
    wait_until_archived(&engine, "dlq", dead);

    assert_eq!(values(&archived(folder.path(), "price_updates")), updates);
    let mut notifications = values(&archived(folder.path(), "user_notifications"));
    notifications.sort();
    files::assert_same(&notifications, &told, "archived and told");
    assert_eq!(archived(folder.path(), "dlq").len(), dead);

    let verified = killed_engine.home.run(&["archive", "verify"]).unwrap();
    let report = String::from_utf8(verified.stdout).unwrap();
    assert!(report.starts_with(&format!("{} records in ", updates.len() + told.len() + dead)), "{report}");
    let replayed =
        killed_engine.home.run(&["replay", "--topic", "updates", "--simulate", "watches.csv"]).unwrap();
    let mut simulated: Vec<String> =
        String::from_utf8(replayed.stdout).unwrap().lines().map(str::to_owned).collect();
    simulated.sort();
    files::assert_same(&told, &simulated, "told and simulated over the archive");
}

#[test]
fn a_store_in_another_folder_does_not_continue_the_archive() {
    let folder = tempfile::tempdir().unwrap();
    let home = home(folder.path());
    drop(home.start().unwrap());
    std::fs::rename(folder.path().join("data"), folder.path().join("old")).unwrap();
    let refused = home.command(&["run"]).output().unwrap();
    let report = String::from_utf8_lossy(&refused.stderr).replace("\n  | ", " ");
    assert!(report.contains("holds the archive of the group embedded store"), "{report}");
}

#[test]
fn updates_accepted_while_the_archive_was_off_are_reported_as_lost() {
    let folder = tempfile::tempdir().unwrap();
    let home = home(folder.path());
    let updates = files::updates(&mut Dice(3), Size { updates: 9, ..SIZE });
    let engine = home.start().unwrap();
    files::post(&engine.address, &updates[..3], 0).unwrap();
    wait_until_archived(&engine, "price_updates", 3);
    drop(engine);

    let config = folder.path().join("pricedrop.toml");
    let archived_config = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, files::CONFIG).unwrap();
    let engine = home.start().unwrap();
    files::post(&engine.address, &updates[3..6], 3).unwrap();
    drop(engine);

    std::fs::write(&config, archived_config).unwrap();
    let engine = home.start().unwrap();
    files::post(&engine.address, &updates[6..], 6).unwrap();
    let lost = || {
        engine.request("GET", "/readyz", b"").ok().filter(|report| report.contains("records 3-5 are lost"))
    };
    wait_for("the loss to be reported", lost).unwrap();
    drop(engine);

    home.run(&["archive", "accept-loss", "price_updates", "0"]).unwrap();
    let engine = home.start().unwrap();
    wait_until_archived(&engine, "price_updates", 9);
    let status = home.run(&["archive", "status"]).unwrap().stdout;
    let status = String::from_utf8(status).unwrap();
    assert!(status.contains("price_updates/0  offsets 0-8"), "{status}");
}
