//! The running engine notifies exactly what `simulate` prints, even if its process is killed.

use std::time::Instant;

use crate::files::{self, Dice, Size};
use crate::killed_engine::KilledEngine;
use pricedrop_harness::request;

const SIZE: Size = Size { products: 1_000, watches: 50_000, updates: 20_000 };

#[test]
fn the_outbox_holds_what_simulate_prints() {
    let folder = tempfile::tempdir().unwrap();
    let home = files::home(folder.path());
    let mut dice = Dice(0xA11CE);
    let updates = files::updates(&mut dice, SIZE);
    std::fs::write(folder.path().join("watches.csv"), files::watches(&mut dice, SIZE)).unwrap();
    std::fs::write(folder.path().join("updates.jsonl"), updates.join("\n")).unwrap();
    let engine = home.start().unwrap();
    home.run(&["watch", "import", "watches.csv", "--url", &engine.url()]).unwrap();

    let begun = Instant::now();
    for (index, batch) in updates.chunks(500).enumerate() {
        files::post(&engine.address, batch, index * 500).unwrap();
    }
    let seconds = begun.elapsed().as_secs_f64();

    let told = files::told(&engine);
    eprintln!("live: {} updates, {} notifications, {seconds:.2} s", updates.len(), told.len());
    files::assert_same(&told, &files::simulated(&home), "undisturbed");
}

const KILLS: usize = 50;

#[test]
fn fifty_kills_while_watches_come_and_go_lose_nothing_and_repeat_nothing() {
    let seed = std::env::var("PRICEDROP_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0xDEAD);
    eprintln!("PRICEDROP_TEST_SEED={seed}");
    let mut dice = Dice(seed);
    let folder = tempfile::tempdir().unwrap();
    let home = files::home(folder.path());
    let updates = files::updates(&mut dice, SIZE);
    std::fs::write(folder.path().join("watches.csv"), files::watches(&mut dice, SIZE)).unwrap();
    let engine = home.start().unwrap();
    home.run(&["watch", "import", "watches.csv", "--url", &engine.url()]).unwrap();
    let killed_engine = KilledEngine::new(home, engine);
    let killer = killed_engine.kill_now_and_then(seed, KILLS, SIZE.updates);

    // The input of `simulate`: updates, and changes of watches at the point where the running
    // engine acknowledged them.
    let mut script = Vec::new();
    let mut sent = 0;
    while sent < updates.len() {
        script.extend(files::change_watches(&mut dice, SIZE, sent, 3, |method, path, body| {
            killed_engine.request_until_answered(|address| {
                request(address, method, path, body.as_bytes()).map(|_| ())
            });
        }));
        let upto = (sent + 1 + dice.roll(60) as usize).min(updates.len());
        killed_engine
            .request_until_answered(|address| files::post(address, &updates[sent..upto], sent).map(|_| ()));
        script.extend_from_slice(&updates[sent..upto]);
        sent = upto;
        killed_engine.record_sent(sent);
    }
    killer.join().unwrap();

    std::fs::write(folder.path().join("updates.jsonl"), script.join("\n")).unwrap();
    let mut engine = killed_engine.engine.lock().unwrap();
    engine.wait_until_ready().unwrap();
    let told = files::told(&engine);
    eprintln!("{KILLS} kills, {} lines, {} notifications", script.len(), told.len());
    files::assert_same(&told, &files::simulated(&killed_engine.home), &format!("seed {seed}"));
}
