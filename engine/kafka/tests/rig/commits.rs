//! Commits of a worker, and reads of what they wrote.

use std::path::Path;

use pricedrop_kafka::{Accepted, Settings, accept};
use pricedrop_model::ports::Commit;
use pricedrop_model::{Currency, Partition, ProductId, ProductState, StateKey};
use pricedrop_testing::conformance::commits::block;

use super::cluster::{P0, committed};
use super::{options, worker};

/// Returns a state of product P with this sequence number.
pub fn state(partition: i32, sequence: i64) -> (StateKey, ProductState) {
    let product = ProductId::new("P").unwrap();
    let key = StateKey { partition: Partition(partition), product, currency: Currency::USD };
    (key, ProductState { sequence: Some(sequence), ..ProductState::default() })
}

/// Returns the users that were notified, sorted.
pub fn told(settings: &Settings) -> Vec<String> {
    let mut users: Vec<String> = committed(settings, &settings.topics.notifications)
        .into_iter()
        .filter_map(|(_, key, _)| key)
        .collect();
    users.sort();
    users
}

/// Returns a commit that notifies these users of the record at this offset.
pub fn commit_of(offset: i64, users: &[&str]) -> Commit {
    let users: Vec<String> = users.iter().map(|user| (*user).to_owned()).collect();
    Commit {
        fan_outs: vec![block("P", "79.9", offset, &users)],
        states: vec![state(0, offset)],
        offsets: vec![(P0, offset + 1)],
        ..Commit::default()
    }
}

/// Checks that a worker waits for an operator with this reason, and continues at the offset it is given.
pub async fn waits(settings: &Settings, folder: &Path, said: &str, at: i64) {
    let mut rig = worker(options(settings), folder);
    rig.stops().await;
    let (_, why) = &rig.status.stopped()[0];
    assert!(why.contains(said) && why.contains("pricedrop offsets set --partition 0"), "{why}");
    accept(settings, None, Accepted::Offset(at)).unwrap();
    assert_eq!(rig.own(1).await.offsets, [(P0, at)]);
}
