//! Dispatchers that share a log of several partitions while these are reassigned.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::rig::{CHANNEL, LEASE_MS, Rig, key, notification};
use pricedrop_model::Partition;
use pricedrop_model::dispatch::{Access, Claim, Reply};
use pricedrop_pipeline::dispatcher::Options;
use pricedrop_testing::channel::{FakeChannel, NEVER, http};
use pricedrop_testing::dispatch::Assignment;

const PARTITIONS: [Partition; 4] = [Partition(0), Partition(1), Partition(2), Partition(3)];
const EACH: u32 = 300;

fn fill(rig: &Rig) {
    for partition in PARTITIONS {
        let first = partition.0 as u32 * EACH;
        rig.stores.notify_in(partition, (first..first + EACH).map(|n| notification(n, "u1")));
    }
}

fn sent(rig: &Rig) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for sent in rig.sender.sent() {
        *times.entry(sent.key).or_insert(0) += 1;
    }
    times
}

fn small() -> Options {
    Options { batch: 16, window: 64, channel_queue: 32, ..Rig::options() }
}

#[test]
fn a_rebalance_neither_loses_nor_repeats_a_delivery() {
    let rig = Rig::new(|_| Ok(http(200, &[])));
    fill(&rig);
    let ours = Arc::new(Assignment::of(PARTITIONS));
    let theirs = Arc::new(Assignment::default());
    let here = rig.start_over(rig.stores.reader_of(&ours), small());
    let there = rig.start_over(rig.stores.reader_of(&theirs), small());
    for (n, split) in [1, 3, 0, 2, 4, 1].into_iter().enumerate() {
        rig.until("some more are sent", |rig| rig.sender.sent().len() > n * 150);
        ours.change(PARTITIONS[..split].iter().copied());
        theirs.change(PARTITIONS[split..].iter().copied());
    }
    rig.until("all offsets are committed", |rig| {
        PARTITIONS.iter().all(|partition| rig.stores.committed_in(*partition) == i64::from(EACH))
    });
    rig.clock.advance(LEASE_MS);
    rig.until("nothing waits", |rig| rig.stores.retries().is_empty());
    here.stop().unwrap();
    there.stop().unwrap();
    let times = sent(&rig);
    assert_eq!(times.len(), PARTITIONS.len() * EACH as usize);
    assert_eq!(times.into_iter().filter(|(_, times)| *times > 1).collect::<Vec<_>>(), []);
}

#[test]
fn an_attempt_that_ends_after_a_rebalance_finishes_nothing_for_the_old_owner() {
    let rig = Rig::new(|_| Ok(Reply::Smtp(NEVER, String::new())));
    rig.stores.notify_in(Partition(2), [notification(0, "u1")]);
    let ours = Arc::new(Assignment::of([Partition(2)]));
    let here = rig.start_over(rig.stores.reader_of(&ours), small());
    rig.until("it is being sent", |rig| rig.sender.sent().len() == 1);
    ours.change([]);
    rig.sender.answer(|_| Ok(http(200, &[])));
    let theirs = Arc::new(Assignment::of([Partition(2)]));
    let there = rig.start_over(rig.stores.reader_of(&theirs), small());
    rig.until("the new owner waits for the lease", |rig| rig.stores.retries().len() == 1);
    assert_eq!(rig.stores.retries()[0].partition, Partition(2));
    rig.until("the retry is safe, so the offset is free", |rig| rig.stores.committed_in(Partition(2)) == 1);
    here.kill();
    rig.clock.advance(LEASE_MS);
    rig.until("it is delivered", |rig| rig.stores.claim_of(&key(0, "u1")) == Some(Claim::Delivered));
    there.stop().unwrap();
    assert_eq!(rig.stores.retries(), []);
}

#[test]
fn deliveries_queued_in_memory_are_left_to_the_new_owner() {
    let rig = Rig::new(|_| Ok(http(200, &[])));
    let access =
        Access { rate_per_second: Some(5), timeout_ms: Some(1_000), ..FakeChannel::default().access };
    rig.channel(FakeChannel { access, ..FakeChannel::default() });
    rig.stores.notify((0..200).map(|n| notification(n, "u1")));
    let ours = Arc::new(Assignment::of([Partition(0)]));
    let here = rig.start_over(rig.stores.reader_of(&ours), Options { batch: 4, ..Rig::options() });
    rig.until("the first is sent", |rig| rig.delivered() == 1);
    ours.change([]);
    // Only what is claimed already is still sent, at five a second.
    let claimed = |rig: &Rig| rig.metrics.channel(CHANNEL).in_flight.get();
    rig.until("what was claimed has ended", |rig| claimed(rig) == 0);
    here.stop().unwrap();
    assert!(rig.sender.sent().len() < 100, "{}", rig.sender.sent().len());
    assert_eq!(rig.stores.retries(), []);
}
