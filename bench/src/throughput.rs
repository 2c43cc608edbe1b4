//! Throughput from posted prices to a synced outbox, against a bare write of the same bytes.

use std::time::Duration;

use fjall::{Database, KeyspaceCreateOptions, PersistMode};
use pricedrop_model::Mode;

use crate::measure::{RUNS, median, per_second, report};
use crate::native;
use crate::rig::{Rig, cents, update, watch};

/// Notifications of one run.
const TOLD: usize = 1_000_000;

/// Runs the section.
pub fn run() {
    shape("10,000 products x 100 watches", 10_000);
    shape("one product x 1,000,000 watches", 1);
}

fn shape(name: &str, products: usize) {
    let rig = Rig::start(native::shipped(), 10_000);
    let each = TOLD / products;
    let imported = std::time::Instant::now();
    rig.watch(
        (0..TOLD).map(|user| watch(user / each, cents(10_000 + (user % each) as i64), user, Mode::EveryDrop)),
    );
    report(
        &format!("{name}: import"),
        format!("{:.0} watches/s", per_second(TOLD, imported.elapsed())),
        None,
    );
    // Each round drops every product once, to below all thresholds.
    let mut price = 9_000;
    let begin = rig.store.outbox_end();
    let engine = median(|| {
        price -= 1;
        let updates: Vec<_> = (0..products).map(|product| update(product, cents(price))).collect();
        rig.post(&updates);
    });
    assert_eq!(rig.store.outbox_end() - begin, (TOLD * RUNS) as i64, "everybody was told");
    let (bytes, batches) = (told_bytes(&rig), (TOLD / 20_000).max(products / 1_000));
    drop(rig);
    let bare = bare_write(bytes, batches);
    report(&format!("{name}: updates"), format!("{:.0} /s", per_second(products, engine)), None);
    report(&format!("{name}: bare write"), format!("{:.0} notif./s", per_second(TOLD, bare)), None);
    let ratio = bare.as_secs_f64() / engine.as_secs_f64();
    report(&format!("{name}: engine"), format!("{:.0} notif./s", per_second(TOLD, engine)), Some(ratio));
}

/// Returns the bytes that the notifications of a run take in the outbox: a name and a price each.
fn told_bytes(rig: &Rig) -> usize {
    let sample = rig.store.read_outbox(0, 1).unwrap();
    let user = sample[0].1.user_id.as_str().len();
    TOLD * (user + 8)
}

/// Writes as many bytes to a bare keyspace, in as many synced batches.
fn bare_write(bytes: usize, batches: usize) -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::builder(folder.path()).open().unwrap();
    let keyspace = database.keyspace("bare", KeyspaceCreateOptions::default).unwrap();
    let value = incompressible(bytes / batches);
    let mut key = 0u64;
    median(|| {
        for _ in 0..batches {
            let mut batch = database.batch().durability(Some(PersistMode::SyncAll));
            for part in value.chunks(64 << 10) {
                batch.insert(&keyspace, key.to_be_bytes(), part);
                key += 1;
            }
            batch.commit().unwrap();
        }
    })
}

/// Returns bytes that compression cannot shrink.
fn incompressible(count: usize) -> Vec<u8> {
    let mut word = 0x9E37_79B9_7F4A_7C15u64;
    let mut next = || {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        (word >> 32) as u8
    };
    (0..count).map(|_| next()).collect()
}
